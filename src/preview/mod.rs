//! The embedded preview is the small HTTP service that the demo loads and that gates this project itself.
//!
//! It answers `/healthz` at once and every other path after a service time drawn from a lognormal distribution, so
//! that there is something to measure. Its speed can be changed on purpose; that is what the demo's gate must catch.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use statrs::distribution::{ContinuousCDF, Normal};
use tokio::net::TcpListener;

/// The median service time of the unchanged service.
pub const MEDIAN_SERVICE_TIME: Duration = Duration::from_millis(4);

/// The spread of the logarithm of service times; 0.25 makes p99 about 1.8 times the median.
const LOG_SPREAD: f64 = 0.25;

/// How much slower than usual the service answers, as a fraction: 0.3 is thirty per cent slower.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slowdown(f64);

impl Slowdown {
    /// The unchanged service.
    pub const NONE: Self = Self(0.0);

    /// Takes a fraction between −0.9 and 10.
    #[must_use]
    pub fn of(fraction: f64) -> Option<Self> {
        (fraction.is_finite() && (-0.9..=10.0).contains(&fraction)).then_some(Self(fraction))
    }

    /// Reads `30%` or `0.3`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fraction = match text.trim().strip_suffix('%') {
            Some(percent) => percent.trim().parse::<f64>().ok()? / 100.0,
            None => text.trim().parse().ok()?,
        };
        Self::of(fraction)
    }
}

/// Draws service times; the same sequence in every process, so that two runs differ only by the machine.
#[derive(Debug)]
struct ServiceTimes {
    slowdown: Slowdown,
    drawn: AtomicU64,
}

impl ServiceTimes {
    fn next(&self) -> Duration {
        let index = self.drawn.fetch_add(1, Ordering::Relaxed);
        let deviation = Normal::standard().inverse_cdf(uniform(index));
        let factor = (LOG_SPREAD * deviation).exp() * (1.0 + self.slowdown.0);
        MEDIAN_SERVICE_TIME.mul_f64(factor)
    }
}

/// Returns a number strictly between 0 and 1: the index, mixed by the finaliser of SplitMix64.
#[expect(clippy::cast_precision_loss, reason = "53 bits are kept, as many as the fraction of a double has")]
fn uniform(index: u64) -> f64 {
    let mut bits = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    ((bits >> 11) as f64 + 0.5) / (1u64 << 53) as f64
}

/// Answers requests on a listener until the future is dropped.
pub async fn serve(listener: TcpListener, slowdown: Slowdown) {
    let times = Arc::new(ServiceTimes { slowdown, drawn: AtomicU64::new(0) });
    loop {
        // An accept can fail for want of file descriptors; the next one may succeed.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // Without it the kernel may hold a small answer back for 40 ms.
        let _ = stream.set_nodelay(true);
        let times = Arc::clone(&times);
        tokio::spawn(async move {
            let answers = service_fn(move |request| answer(Arc::clone(&times), request));
            // A client that goes away in mid-request is its own business.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), answers)
                .await;
        });
    }
}

async fn answer(
    times: Arc<ServiceTimes>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == "/healthz" {
        return Ok(Response::new(Full::from("ok\n")));
    }
    let service_time = times.next();
    // tokio's timer wakes in whole milliseconds; a sleeping thread is exact to some 0.1 ms.
    let slept = tokio::task::spawn_blocking(move || std::thread::sleep(service_time)).await;
    let status = if slept.is_ok() { StatusCode::OK } else { StatusCode::INTERNAL_SERVER_ERROR };
    let mut response = Response::new(Full::from("{\"products\":[\"anvil\",\"rocket skates\"]}\n"));
    *response.status_mut() = status;
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted_times(slowdown: Slowdown) -> Vec<Duration> {
        let times = ServiceTimes { slowdown, drawn: AtomicU64::new(0) };
        let mut drawn: Vec<_> = (0..10_001).map(|_| times.next()).collect();
        drawn.sort();
        drawn
    }

    #[test]
    fn the_median_service_time_is_the_declared_one() {
        let median = sorted_times(Slowdown::NONE)[5_000].as_secs_f64();

        assert!((median / MEDIAN_SERVICE_TIME.as_secs_f64() - 1.0).abs() < 0.02, "{median}");
    }

    #[test]
    fn a_slowdown_moves_every_quantile_by_its_fraction() {
        let usual = sorted_times(Slowdown::NONE);
        let slowed = sorted_times(Slowdown::of(0.3).unwrap());

        for index in [1_000, 5_000, 9_900] {
            let ratio = slowed[index].as_secs_f64() / usual[index].as_secs_f64();
            assert!((ratio - 1.3).abs() < 0.001, "{ratio}");
        }
    }

    #[test]
    fn slowdowns_read_as_people_write_them() {
        assert_eq!(Slowdown::parse("30%"), Slowdown::of(0.3));
        assert_eq!(Slowdown::parse("0.3"), Slowdown::of(0.3));
        for hostile in ["", "%", "NaN", "inf", "1e9", "-1", "fast"] {
            assert_eq!(Slowdown::parse(hostile), None, "{hostile:?} must be refused");
        }
    }
}
