//! Statistics here are mathematics over plain numbers: numbers in, numbers out, no word of the domain.
//!
//! `sample` holds what few noisy numbers say about the next one (Student's t), `holm` keeps several questions asked
//! at once honest, `steady` whether a row has come to rest. Where the numbers cannot answer, the answer is `None`, never NaN.

mod holm;
mod sample;
mod steady;

pub use holm::{Tested, holm};
pub use sample::{Interval, Sample, median, student_t_quantile, student_t_survival};
pub use steady::{is_steady, trend_p_value};
