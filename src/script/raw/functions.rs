//! The functions of Lua that every request passes: `wrk.format`, and the entrances of `request` and `response`.
//!
//! What holds for them, and what each block relies on:
//!
//! - **Errors.** An error of Lua is a C++ exception that unwinds them ("C-unwind"). No value with a destructor is alive
//!   where something can raise one: what the host owns stays in the host, and is borrowed within [`sheltered`] only,
//!   where nothing raises.
//! - **Panics.** The host's code runs within [`sheltered`], and a panic of it becomes an error of Lua.
//! - **Stack.** Luau gives a C function twenty slots beside its arguments; none here uses more than seven.
//! - **Texts.** A slice of a text of Lua is used while the text is on the stack or in a table that is: it does not move,
//!   and is not collected.
//! - **The host** is the first upvalue of each function. The state keeps it as data of its own, which goes after all
//!   functions.

use std::ffi::{CStr, c_int};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::{ptr, slice};

use mlua::ffi::{self, lua_State, lua_upvalueindex};
use mlua::{Function, IntoLua, LightUserData, Lua, MultiValue, Table, Value};

use super::super::draft::{Draft, Rules};
use super::super::host::Host;
use super::super::number::Digits;

/// What `response` is shown; it lives as long as the call.
#[derive(Debug, Clone, Copy)]
pub(in crate::script) struct Shown<'a> {
    pub(in crate::script) status: u16,
    /// Whether the callback takes headers and body as well.
    pub(in crate::script) has_headers: bool,
    pub(in crate::script) body: Option<&'a [u8]>,
}

/// Makes `wrk.format`: `wrk` holds what it takes where an argument is missing, `otherwise` what to call with arguments
/// that are no plain texts, numbers and tables; without it they are an error.
pub(in crate::script) fn format_function(
    lua: &Lua,
    host: &Rc<Host>,
    wrk: Table,
    otherwise: Option<Function>,
) -> mlua::Result<Function> {
    let mut values = vec![Value::Table(wrk), otherwise.into_lua(lua)?];
    for name in ["method", "path", "headers", "body"] {
        values.push(name.into_lua(lua)?);
    }
    closure(lua, host, format, c"format", values)
}

/// Makes the entrance of `request`, which gives what it returned to the host; `env` holds the script's globals.
pub(in crate::script) fn request_entrance(lua: &Lua, host: &Rc<Host>, env: &Table) -> mlua::Result<Function> {
    closure(lua, host, request, c"request", vec![Value::Table(env.clone()), "request".into_lua(lua)?])
}

/// Makes the entrance of `response`, to be called through [`Entrance::show`].
///
/// `class` is the metatable of headers, `current` holds those of the present answer in its first place, and `wanted` the
/// names that the host was told to bring along, in the same order.
pub(in crate::script) fn response_entrance(
    lua: &Lua,
    host: &Rc<Host>,
    env: &Table,
    [class, current, wanted]: [Table; 3],
) -> mlua::Result<Entrance> {
    let mut values = vec![Value::Table(env.clone()), "response".into_lua(lua)?];
    values.extend([class, current, wanted].map(Value::Table));
    closure(lua, host, response, c"response", values).map(Entrance)
}

/// The entrance of `response`.
#[derive(Debug)]
pub(in crate::script) struct Entrance(Function);

impl Entrance {
    /// Shows an answer.
    pub(in crate::script) fn show(&self, shown: &Shown<'_>) -> mlua::Result<()> {
        // It is alive until the call has ended, and the function keeps nothing of it.
        self.0.call::<()>(LightUserData((&raw const *shown).cast_mut().cast()))
    }
}

fn closure(
    lua: &Lua,
    host: &Rc<Host>,
    function: ffi::lua_CFunction,
    name: &'static CStr,
    values: Vec<Value>,
) -> mlua::Result<Function> {
    lua.set_app_data(Rc::clone(host));
    let host = Value::LightUserData(LightUserData(Rc::as_ptr(host).cast_mut().cast()));
    let values: MultiValue = std::iter::once(host).chain(values).collect();
    let count = values.len() as c_int;
    // SAFETY: `exec_raw` has pushed the values, at most seven, and runs the closure protected; the closure owns nothing.
    unsafe {
        lua.exec_raw(values, |state| ffi::lua_pushcclosurek(state, function, name.as_ptr(), count, None))
    }
}

/// `wrk.format(method, path, headers, body)`.
///
/// Upvalues: the host, `wrk`, what to call otherwise, the names of the four arguments.
unsafe extern "C-unwind" fn format(state: *mut lua_State) -> c_int {
    // SAFETY: as the head of this file says. After `settop` there are four arguments, and what is pushed above them is
    // taken away again; the second upvalue is a table.
    unsafe {
        let host = host_of(state);
        ffi::lua_settop(state, 4);
        if host.has_draft() && sheltered(host, Host::settle) != Some(true) {
            raise(state, host);
        }
        for argument in 1..=4 {
            // As `method or wrk.method` has it; only a body can be false.
            let is_missing = match ffi::lua_type(state, argument) {
                ffi::LUA_TNIL => true,
                ffi::LUA_TBOOLEAN => argument != 4 && ffi::lua_toboolean(state, argument) == 0,
                _ => false,
            };
            if is_missing {
                ffi::lua_pushvalue(state, lua_upvalueindex(3 + argument));
                ffi::lua_rawget(state, lua_upvalueindex(2));
                ffi::lua_replace(state, argument);
            }
        }
        let written = sheltered(host, |host| host.draft(|draft, rules| write(state, draft, rules)));
        match written {
            Some(Written::Whole(text)) => push(state, text),
            Some(Written::Head(text)) => {
                push(state, text);
                ffi::lua_pushvalue(state, 4);
                ffi::lua_concat(state, 2);
            }
            Some(Written::Nothing) if !is_last(state) => {
                ffi::lua_pushvalue(state, lua_upvalueindex(3));
                ffi::lua_insert(state, 1);
                ffi::lua_call(state, 4, 1);
            }
            Some(Written::Nothing) => {
                *host.fault.borrow_mut() = LONG_HEAD.into();
                raise(state, host)
            }
            None => raise(state, host),
        }
        1
    }
}

/// What is wrong with arguments that are plain and yet no request.
const LONG_HEAD: &str =
    "the first line and the headers of the request are longer than 1 MiB, so it is refused";

/// What became of the arguments of `format`.
enum Written {
    Whole(*const [u8]),
    /// The text without its body, which is too long to be kept.
    Head(*const [u8]),
    Nothing,
}

/// Returns whether there is nothing to call otherwise.
///
/// # Safety
/// As for `format`, in which it runs.
unsafe fn is_last(state: *mut lua_State) -> bool {
    // SAFETY: to ask for a type raises nothing.
    unsafe { ffi::lua_type(state, lua_upvalueindex(3)) == ffi::LUA_TNIL }
}

/// Writes the draft.
///
/// # Safety
/// The four arguments of `format` are the whole stack. Raises nothing: it asks for types, reads texts and numbers that
/// are such, and walks a table that has no metatable.
unsafe fn write(state: *mut lua_State, draft: &mut Draft, rules: Rules<'_>) -> Written {
    // SAFETY: as above; `rawiter` pushes a name and its value, and `settop` takes both away.
    unsafe {
        let (Some(method), Some(path)) = (text_at(state, 1), text_at(state, 2)) else {
            return Written::Nothing;
        };
        let is_plain = ffi::lua_type(state, 3) == ffi::LUA_TTABLE
            && ffi::lua_getmetatablepointer(state, 3).is_null()
            && (path.first() == Some(&b'/') || is_last(state));
        if !is_plain || !draft.begin(method, path, rules) {
            return Written::Nothing;
        }
        let (mut name, mut value) = (Digits::default(), Digits::default());
        let mut place = ffi::lua_rawiter(state, 3, 0);
        while place >= 0 {
            let field = text_of(state, 5, &mut name).zip(text_of(state, 6, &mut value));
            let is_taken = field.is_some_and(|(name, value)| draft.field(name, value, rules));
            ffi::lua_settop(state, 4);
            if !is_taken {
                return Written::Nothing;
            }
            place = ffi::lua_rawiter(state, 3, place);
        }
        let body = text_at(state, 4);
        if body.is_none() && ffi::lua_type(state, 4) != ffi::LUA_TNIL {
            return Written::Nothing;
        }
        draft.end(body, rules);
        let (text, lacks_body) = draft.text();
        if lacks_body { Written::Head(text) } else { Written::Whole(text) }
    }
}

/// The entrance of `request`: calls it and gives what it returns to the host.
///
/// Upvalues: the host, the script's globals, the callback's name.
unsafe extern "C-unwind" fn request(state: *mut lua_State) -> c_int {
    // SAFETY: as the head of this file says; `call` leaves one value, whose text stays on the stack while it is read.
    unsafe {
        let host = host_of(state);
        ffi::lua_pushvalue(state, lua_upvalueindex(3));
        ffi::lua_gettable(state, lua_upvalueindex(2));
        ffi::lua_call(state, 0, 1);
        let kind = || CStr::from_ptr(ffi::lua_typename(state, ffi::lua_type(state, -1)));
        let text = text_at(state, -1).ok_or_else(kind);
        if sheltered(host, |host| host.take(text)) != Some(true) {
            raise(state, host);
        }
        0
    }
}

/// The entrance of `response`: calls it with a [`Shown`], its only argument.
///
/// Upvalues: the host, the script's globals, the callback's name, and the three tables of [`response_entrance`].
unsafe extern "C-unwind" fn response(state: *mut lua_State) -> c_int {
    // SAFETY: as the head of this file says; the argument is what `Entrance::show` gave, as nobody else has the function.
    unsafe {
        let host = host_of(state);
        let shown = *ffi::lua_tolightuserdata(state, 1).cast::<Shown<'_>>();
        ffi::lua_pushvalue(state, lua_upvalueindex(3));
        ffi::lua_gettable(state, lua_upvalueindex(2));
        ffi::lua_pushnumber(state, f64::from(shown.status));
        if shown.has_headers {
            push_headers(state, host);
            match shown.body {
                Some(body) => push(state, body),
                None => ffi::lua_pushnil(state),
            }
        }
        ffi::lua_call(state, if shown.has_headers { 3 } else { 1 }, 0);
        if shown.has_headers {
            ffi::lua_pushnil(state);
            ffi::lua_rawseti_(state, lua_upvalueindex(5), 1);
        }
        if host.has_draft() && sheltered(host, Host::settle) != Some(true) {
            raise(state, host);
        }
        0
    }
}

/// Pushes the headers of the present answer, with those that the script is known to look at.
///
/// # Safety
/// As for `response`, in which it runs.
unsafe fn push_headers(state: *mut lua_State, host: &Host) {
    // SAFETY: the upvalues are tables, of which none is read-only but the metatable, which is only pushed; the table of
    // names holds a text in each place that the host knows of.
    unsafe {
        let wanted = host.wanted.try_borrow().map_or(0, |wanted| wanted.len()) as c_int;
        ffi::lua_createtable(state, 0, wanted);
        for place in 0..wanted {
            let found = sheltered(host, |host| {
                host.find_wanted(place as usize).then(|| -> *const [u8] { host.found.borrow().as_slice() })
            });
            if let Some(Some(value)) = found {
                ffi::lua_rawgeti_(state, lua_upvalueindex(6), place + 1);
                push(state, value);
                ffi::lua_rawset(state, -3);
            }
        }
        ffi::lua_pushvalue(state, lua_upvalueindex(4));
        ffi::lua_setmetatable(state, -2);
        ffi::lua_pushvalue(state, -1);
        ffi::lua_rawseti_(state, lua_upvalueindex(5), 1);
    }
}

/// Runs the host's code, and whatever of Lua raises no error; a panic ends as a fault, and as `None`.
fn sheltered<T>(host: &Host, work: impl FnOnce(&Host) -> T) -> Option<T> {
    let worked = catch_unwind(AssertUnwindSafe(|| work(host)));
    worked.map_err(|_| *host.fault.borrow_mut() = "the load generator failed".into()).ok()
}

/// # Safety
/// A function of this file runs, whose first upvalue is the host.
unsafe fn host_of<'h>(state: *mut lua_State) -> &'h Host {
    // SAFETY: `closure` made the upvalue of a host that the state keeps.
    unsafe { &*ffi::lua_tolightuserdata(state, lua_upvalueindex(1)).cast::<Host>() }
}

/// Returns the text at an index, if it is one. Raises nothing.
///
/// # Safety
/// The text stays on the stack while it is used.
unsafe fn text_at<'t>(state: *mut lua_State, index: c_int) -> Option<&'t [u8]> {
    let mut bytes = 0;
    // SAFETY: `tolstringatom` makes no text of anything else, and gives the text's own bytes.
    unsafe {
        let start = ffi::lua_tolstringatom(state, index, &mut bytes, ptr::null_mut());
        (!start.is_null()).then(|| slice::from_raw_parts(start.cast(), bytes))
    }
}

/// Returns the text at an index, or of a whole number there. Raises nothing.
///
/// # Safety
/// As for [`text_at`].
unsafe fn text_of(state: *mut lua_State, index: c_int, digits: &mut Digits) -> Option<&[u8]> {
    // SAFETY: to ask for a text, a type and a number raises nothing.
    unsafe {
        let text = text_at(state, index);
        if text.is_none() && ffi::lua_type(state, index) == ffi::LUA_TNUMBER {
            return digits.of_whole(ffi::lua_tonumber(state, index));
        }
        text
    }
}

/// Pushes a text; raises an error where there is no memory for it.
///
/// # Safety
/// The bytes live until they are copied, whatever the collector does meanwhile: they are the host's.
unsafe fn push(state: *mut lua_State, text: *const [u8]) {
    // SAFETY: as above.
    unsafe { ffi::lua_pushlstring_(state, text.cast(), text.len()) }
}

/// Raises the host's fault, with the place of the script that called.
///
/// # Safety
/// No value with a destructor is alive in the caller.
unsafe fn raise(state: *mut lua_State, host: &Host) -> ! {
    // SAFETY: as above; the fault is not changed before it is copied.
    unsafe {
        ffi::luaL_where(state, 1);
        let fault: *const [u8] = host.fault.borrow().as_bytes();
        push(state, fault);
        ffi::lua_concat(state, 2);
        ffi::lua_error(state)
    }
}
