//! A word is a short text that a script hands to the host: the name of a file, an endpoint, a thread's global.
//!
//! The host's copy of it is outside of the script's own memory, so its length is bounded before it is made.

use mlua::{FromLua, Lua, LuaString, Value};

/// Longer than any name, and than any value that goes into a header.
const MAX_WORD_BYTES: usize = 8 * 1024;

/// A text of at most [`MAX_WORD_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word(pub(super) String);

impl FromLua for Word {
    fn from_lua(value: Value, lua: &Lua) -> mlua::Result<Self> {
        let text = LuaString::from_lua(value, lua)?;
        if text.as_bytes().len() > MAX_WORD_BYTES {
            return Err(mlua::Error::runtime(format!("a text is longer than {MAX_WORD_BYTES} bytes")));
        }
        // What is not UTF-8 names nothing.
        Ok(Self(text.to_string_lossy()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_no_word() {
        let lua = Lua::new();
        let word = |text: &str| Word::from_lua(Value::String(lua.create_string(text).unwrap()), &lua);

        assert_eq!(word("load/users.csv").unwrap().0, "load/users.csv");
        assert!(word(&"x".repeat(MAX_WORD_BYTES + 1)).unwrap_err().to_string().contains("longer than 8192"));
        assert_eq!(Word::from_lua(Value::Integer(7), &lua).unwrap().0, "7");
        assert!(Word::from_lua(Value::Boolean(true), &lua).is_err());
    }
}
