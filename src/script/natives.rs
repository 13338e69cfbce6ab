//! The native functions that a state of Lua gets, as one table. Each answers with a value, or with nothing and a
//! reason: the Lua side raises it, so that the script's own line stands in the message.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use memchr::memmem;
use mlua::{FromLuaMulti, Function, IntoLua, Lua, LuaString, MultiValue, Table, Value};

use super::cage::Compiled;
use super::feed::Feed;
use super::host::Host;
use super::json;
use super::plain::Plain;
use super::raw;
use super::state::unlimited;
use super::word::Word;
use crate::clock;
use crate::request::{MAX_RAW_BODY_BYTES, is_header_name};

/// Makes the table.
pub(super) fn table(lua: &Lua, host: &Rc<Host>, compiled: &Arc<Compiled>) -> mlua::Result<Table> {
    let table = Natives { lua, host, table: lua.create_table()?, fallible: lua.create_table()? };
    table.facts()?;
    table.words()?;
    table.files()?;
    table.answers()?;
    table.targets()?;
    table.threads()?;
    table.modules(compiled)?;
    table.table.raw_set("fallible", &table.fallible)?;
    Ok(table.table)
}

struct Natives<'a> {
    lua: &'a Lua,
    host: &'a Rc<Host>,
    table: Table,
    /// The names of those that may answer with a reason.
    fallible: Table,
}

impl Natives<'_> {
    /// Adds a function that may answer with a reason.
    fn add<A, R>(
        &self,
        name: &str,
        native: impl Fn(&Lua, &Host, A) -> Result<R, String> + 'static,
    ) -> mlua::Result<()>
    where
        A: FromLuaMulti,
        R: IntoLua,
    {
        self.add_lua(name, move |lua, host, arguments| Ok(native(lua, host, arguments)))
    }

    /// Adds one whose making of Lua values can fail as well, for want of memory.
    fn add_lua<A, R>(
        &self,
        name: &str,
        native: impl Fn(&Lua, &Host, A) -> mlua::Result<Result<R, String>> + 'static,
    ) -> mlua::Result<()>
    where
        A: FromLuaMulti,
        R: IntoLua,
    {
        let host = Rc::clone(self.host);
        let function =
            self.lua.create_function(move |lua, arguments: A| match native(lua, &host, arguments)? {
                Ok(value) => Ok((value.into_lua(lua)?, Value::Nil)),
                Err(why) => Ok((Value::Nil, why.into_lua(lua)?)),
            })?;
        self.fallible.raw_push(name)?;
        self.table.raw_set(name, function)
    }

    /// Adds a function that always has an answer.
    fn add_sure<A, R>(
        &self,
        name: &str,
        native: impl Fn(&Lua, &Host, A) -> mlua::Result<R> + 'static,
    ) -> mlua::Result<()>
    where
        A: FromLuaMulti,
        R: mlua::IntoLuaMulti,
    {
        let host = Rc::clone(self.host);
        let function = self.lua.create_function(move |lua, arguments: A| native(lua, &host, arguments))?;
        self.table.raw_set(name, function)
    }

    fn facts(&self) -> mlua::Result<()> {
        let surroundings = &self.host.surroundings;
        let origin = &surroundings.origin;
        let set = |name: &str, text: &str| self.table.raw_set(name, text);
        set("scheme", &origin.scheme.to_string())?;
        set("host", &origin.host)?;
        set("authority", &surroundings.rules.authority)?;
        if origin.port != origin.scheme.default_port() {
            set("port", &origin.port.to_string())?;
        }
        let worker = self.host.seat.map_or(0, |seat| seat.worker);
        self.table.raw_set("worker", worker)?;
        // Neighbouring seeds must not give neighbouring sequences.
        let seed = (self.host.plan().seed ^ worker.wrapping_mul(0x9E37_79B9)).wrapping_mul(0x85EB_CA6B) >> 1;
        self.table.raw_set("seed", seed)?;
        self.table.raw_set("null", Value::NULL)?;
        let request = self.lua.create_table()?;
        request.raw_set("method", surroundings.request.method().as_str())?;
        request.raw_set("path", surroundings.request.path())?;
        let headers = self.lua.create_table()?;
        for (name, value) in surroundings.request.headers() {
            headers.raw_set(name.as_str(), value.as_str())?;
        }
        request.raw_set("headers", headers)?;
        if !surroundings.request.body().is_empty() {
            request.raw_set("body", self.lua.create_string(surroundings.request.body())?)?;
        }
        self.table.raw_set("request", request)
    }

    fn words(&self) -> mlua::Result<()> {
        self.add_sure("find", |_, _, (text, needle, init): (LuaString, LuaString, f64)| {
            let (text, needle) = (text.as_bytes(), needle.as_bytes());
            let start = if init < 0.0 {
                text.len().saturating_sub(init.abs() as usize)
            } else {
                (init as usize).max(1) - 1
            };
            let found = text.get(start..).and_then(|rest| memmem::find(rest, &needle));
            Ok(found
                .map(|at| (start + at + 1, start + at + needle.len()))
                .map_or((None, None), |(a, b)| (Some(a), Some(b))))
        })?;
        self.add_lua("urlencode", |lua, _, text: LuaString| {
            if text.as_bytes().len() > MAX_RAW_BODY_BYTES {
                return Ok(Err("a text to encode is at most 1 MiB long".into()));
            }
            Ok(Ok(lua.create_string(urlencoded(&text.as_bytes()))?))
        })?;
        self.add_lua("headervalue", |lua, _, text: Value| {
            let text = lua.coerce_string(text)?;
            let Some(text) = text else { return Ok(Err("a header's value is a text or a number".into())) };
            let is_legal =
                text.as_bytes().iter().all(|byte| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f));
            Ok(if is_legal { Ok(text) } else { Err("a header's value has no control characters".into()) })
        })?;
        self.add_lua("json_encode", |lua, _, value: Value| {
            json::encode(&value)
                .map(|json| lua.create_string(json))
                .map_or_else(|why| Ok(Err(why)), |text| text.map(Ok))
        })?;
        self.add_lua("json_decode", |lua, _, text: LuaString| json::decode(lua, &text.as_bytes()))?;
        self.add("basic", |_, host, (user, password): (Word, Word)| basic(host, &user.0, &password.0))?;
        self.add("secret", |_, host, Word(name)| {
            host.plan()
                .placeholders
                .text(&name)
                .ok_or_else(|| {
                    format!(
                        "there is no secret {name:?}; declare it as a [[secret]], in a pull request in the base branch"
                    )
                })
        })?;
        self.add("sensitive", |_, host, Word(text)| Ok(host.sensitive(&text)))?;
        self.add("param", |_, host, Word(name)| {
            let params = &host.plan().params;
            let found = params.iter().find(|param| param.name == name);
            found
                .map(super::params::value_of)
                .ok_or_else(|| format!("there is no parameter {name:?}; declare it as a [[script.param]]"))
        })?;
        self.add("getenv", |_, host, Word(name)| host.variable(&name).map(|value| value.map(str::to_owned)))?;
        self.add_sure("time_us", |_, _, ()| Ok(clock::wall().as_microsecond() as f64))
    }

    fn files(&self) -> mlua::Result<()> {
        self.add("emit", |_, host, text: LuaString| host.emit(&text.as_bytes()).map(|()| true))?;
        self.add_lua("file", |lua, host, Word(name)| {
            host.file(&name)
                .map(|text| lua.create_string(&*text))
                .map_or_else(|why| Ok(Err(why)), |text| text.map(Ok))
        })?;
        self.add("sink_open", |_, host, (Word(name), appends): (Word, bool)| host.open_sink(&name, appends))?;
        self.add("sink_write", |_, host, (Word(name), text): (Word, LuaString)| {
            host.write_sink(&name, &text.as_bytes()).map(|()| true)
        })?;
        let feeds: Rc<std::cell::RefCell<Vec<Arc<Feed>>>> = Rc::default();
        let opened = Rc::clone(&feeds);
        self.add_sure("feed_open", move |_, host, Word(name)| {
            let feed = host.file(&name).and_then(|csv| host.surroundings.feeds.open(&name, &csv));
            let feed = feed.map_err(mlua::Error::runtime)?;
            let rows = feed.rows();
            opened.borrow_mut().push(feed);
            let seat = host.seat.map_or((0, 1), |seat| (seat.worker, seat.workers));
            Ok((opened.borrow().len(), rows, seat.0, seat.1))
        })?;
        self.add_sure("feed_row", move |lua, _, (id, row): (usize, usize)| {
            let feed = feeds.borrow().get(id.wrapping_sub(1)).cloned();
            let table = lua.create_table()?;
            for (column, cell) in feed.iter().flat_map(|feed| feed.row(row)) {
                table.raw_set(column, lua.create_string(cell)?)?;
            }
            Ok(table)
        })
    }

    fn answers(&self) -> mlua::Result<()> {
        self.add_sure("header", |lua, host, name: LuaString| {
            let headers = host.headers.borrow();
            host.seen_header(&headers, &name.as_bytes(), |value| {
                unlimited(lua, |lua| lua.create_string(value))
            })
            .transpose()
        })?;
        self.add_sure("want", |_, host, name: LuaString| {
            host.want(&name.as_bytes());
            Ok(())
        })?;
        self.add_sure("headers", |lua, host, ()| {
            let table = lua.create_table()?;
            for (name, value) in host.headers.borrow().iter() {
                let veiled = host.veiled(name, value);
                let value = veiled.as_ref().map_or(value, |veiled| veiled.as_bytes());
                table.raw_set(lua.create_string(name)?, lua.create_string(value)?)?;
            }
            Ok(table)
        })?;
        self.add("tag", |_, host, Word(name)| host.tag(&name).map(|()| true))?;
        self.add("verdict", |_, host, (Word(name), is_met): (Word, bool)| {
            host.check(&name, is_met).map(|()| true)
        })?;
        self.add_sure("stop", |_, host, _: MultiValue| {
            host.is_stopped.set(true);
            Ok(())
        })?;
        self.add_sure("abort", |_, host, why: Option<Word>| -> mlua::Result<()> {
            host.abort(why.as_ref().map_or("without a reason", |why| &why.0));
            Err(mlua::Error::runtime("the script ended the run"))
        })
    }

    fn targets(&self) -> mlua::Result<()> {
        self.add("lookup", |_, host, (Word(name), service): (Word, Option<Word>)| {
            host.lookup(&name, service.as_ref().map(|service| service.0.as_str()))
        })?;
        self.add("is_pinned", |_, host, Word(address)| host.pinned(&address).map(|_| true))?;
        self.add_sure("own_path", |_, host, Word(url)| Ok(host.own_path(&url).map(str::to_owned)))?;
        self.add_sure("is_target", |_, host, (Word(part), Word(value)): (Word, Word)| {
            Ok(host.is_target(&part, &value))
        })?;
        self.add_sure("name_fault", |_, _, name: LuaString| {
            let fault = raw_name_fault(&name.as_bytes());
            Ok(fault.map(|error| format!("{error}, so the request is refused")))
        })?;
        self.add("settle", |_, host, ()| if host.settle() { Ok(true) } else { Err(host.fault.take()) })?;
        let host = Rc::clone(self.host);
        let function =
            self.lua.create_function(move |lua, (wrk, otherwise): (Table, Option<Function>)| {
                raw::format_function(lua, &host, wrk, otherwise)
            })?;
        self.table.raw_set("format_of", function)
    }

    fn threads(&self) -> mlua::Result<()> {
        self.add_lua("thread_get", |lua, host, (thread, Word(name)): (usize, Word)| {
            let threads = host.threads.borrow();
            let Some(thread) = threads.get(thread) else { return Ok(Ok(Value::Nil)) };
            let first = host.first_globals.borrow();
            let value = match &thread.globals {
                Some(globals) => globals.get(&name),
                None => thread.assigned.get(&name).or_else(|| first.get(&name)),
            };
            value.map_or(Ok(Value::Nil), |value| value.give(lua)).map(Ok)
        })?;
        self.add("thread_set", |_, host, (thread, Word(name), value): (usize, Word, Value)| {
            let value =
                Plain::take(&value).map_err(|why| format!("cannot transfer '{name}' to a thread: {why}"))?;
            if let Some(thread) = host.threads.borrow_mut().get_mut(thread) {
                match value {
                    Some(value) => thread.assigned.insert(name, value),
                    None => thread.assigned.remove(&name),
                };
            }
            Ok(true)
        })?;
        self.add("thread_stop", |_, host, thread: usize| {
            if let Some(thread) = host.threads.borrow_mut().get_mut(thread) {
                thread.is_stopped = true;
            }
            Ok(true)
        })?;
        self.add_sure("thread_address", |_, host, thread: usize| {
            Ok(host.address_of(thread).as_ref().map(SocketAddr::to_string))
        })?;
        self.add("thread_assign", |_, host, (thread, Word(address)): (usize, Word)| {
            let address = host.pinned(&address)?;
            if let Some(thread) = host.threads.borrow_mut().get_mut(thread) {
                thread.address = Some(address);
            }
            Ok(true)
        })
    }

    fn modules(&self, compiled: &Arc<Compiled>) -> mlua::Result<()> {
        let known = Arc::clone(compiled);
        self.add_sure("is_module", move |_, _, Word(name)| Ok(known.module(&name).is_some()))?;
        let compiled = Arc::clone(compiled);
        self.add_lua("module", move |lua, _, Word(name)| match compiled.module(&name) {
            Some((path, code)) => super::cage::load(lua, path, code).map(Ok),
            None => Ok(Err(format!(
                "there is no module {name:?}; declare its file in `modules` of [script], or use json, bit or wrk{}",
                if name.starts_with("socket") || name.starts_with("ssl") { "; the generator owns all connections" } else { "" }
            ))),
        })
    }
}

/// Returns what is wrong with a header's name.
fn raw_name_fault(name: &[u8]) -> Option<String> {
    (!is_header_name(name)).then(|| {
        let shown: String = String::from_utf8_lossy(name).chars().take(80).collect();
        format!("{shown:?} is no token of RFC 9110")
    })
}

/// Returns a text in which everything but unreserved characters (RFC 3986) is encoded.
fn urlencoded(text: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(text.len());
    for byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            encoded.push(*byte);
        } else {
            encoded.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    encoded
}

/// Returns the value of an `Authorization` header; a password that is a secret stays a placeholder.
fn basic(host: &Host, user: &str, password: &str) -> Result<String, String> {
    use base64::Engine as _;
    let placeholders = &host.plan().placeholders;
    if let Some(name) = placeholders.named_by(password) {
        return placeholders.basic(user, name).map(|text| format!("Basic {text}")).ok_or_else(String::new);
    }
    if placeholders.touch(password.as_bytes()) || placeholders.touch(user.as_bytes()) {
        return Err("wrk.basic takes a secret alone, as the password".into());
    }
    Ok(format!("Basic {}", base64::prelude::BASE64_STANDARD.encode(format!("{user}:{password}"))))
}
