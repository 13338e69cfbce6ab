//! Whole numbers as Lua writes them, without asking Lua.

use crate::request::{MAX_DIGITS, decimal};

/// From here on the text of a number is Lua's own business.
const LIMIT: f64 = 1e15;

/// Room for the digits of a number.
#[derive(Debug, Default)]
pub(super) struct Digits([u8; MAX_DIGITS]);

impl Digits {
    /// Returns the text of a whole number of moderate size; others are left to Lua.
    pub(super) fn of_whole(&mut self, number: f64) -> Option<&[u8]> {
        let is_plain = number.trunc() == number && number.abs() < LIMIT;
        if !is_plain || (number == 0.0 && number.is_sign_negative()) {
            return None;
        }
        let start = decimal(number.abs() as u64, &mut self.0);
        if number >= 0.0 {
            return Some(&self.0[start..]);
        }
        self.0[start - 1] = b'-';
        Some(&self.0[start - 1..])
    }

    /// Returns the text of a count.
    pub(super) fn of_count(&mut self, count: usize) -> &[u8] {
        let start = decimal(count as u64, &mut self.0);
        &self.0[start..]
    }
}

#[cfg(test)]
mod tests {
    use mlua::Lua;

    use super::*;

    #[test]
    fn whole_numbers_are_written_as_lua_writes_them() {
        let lua = Lua::new();
        let tostring: mlua::Function = lua.globals().get("tostring").unwrap();

        for number in
            [0.0, 1.0, 9.0, 10.0, -1.0, -40.0, 123_456_789.0, 999_999_999_999_999.0, -999_999_999_999_999.0]
        {
            let written = String::from_utf8(Digits::default().of_whole(number).unwrap().to_vec()).unwrap();
            assert_eq!(written, tostring.call::<String>(number).unwrap());
        }
        for number in [-0.0, 0.5, 1e15, -1e15, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Digits::default().of_whole(number), None, "{number}");
        }
        assert_eq!(Digits::default().of_count(usize::MAX), b"18446744073709551615");
    }
}
