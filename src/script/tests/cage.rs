//! What can be reached inside the cage, and that nothing there can be replaced.

use super::*;

/// Walks everything that a script can name and prints one line for each.
const WALK: &str = r#"
local seen, lines = {}, {}
local function walk(value, name)
    lines[#lines + 1] = name .. " " .. type(value)
    if type(value) ~= "table" or seen[value] then return end
    seen[value] = true
    for key, inner in next, value do
        walk(inner, name .. "." .. tostring(key))
    end
    local meta = getmetatable(value)
    if meta then walk(meta, name .. "<meta>") end
end
walk(_G, "_G")
walk(getmetatable(""), "<string>")
table.sort(lines)
for _, line in ipairs(lines) do print(line) end
"#;

#[test]
fn the_names_that_a_script_can_reach_are_those_of_the_golden_file() {
    let mut bench = Bench::of(WALK);
    bench.limits.stage = Duration::from_secs(10);
    let mut script = bench.loaded();

    let reachable = printed(&mut script);

    let golden = include_str!("reachable.golden.txt");
    if reachable != golden {
        let names = |text: &'static str| text.lines().collect::<std::collections::BTreeSet<_>>();
        let new: Vec<_> = reachable.lines().filter(|line| !names(golden).contains(line)).collect();
        let gone: Vec<_> = golden.lines().filter(|line| !reachable.lines().any(|l| l == *line)).collect();
        panic!("new names: {new:#?}\ngone names: {gone:#?}\nall:\n{reachable}");
    }
}

#[test]
fn what_is_there_cannot_be_replaced_and_new_names_can_be_added() {
    for hostile in [
        "string.format = print",
        "getmetatable('').__index = print",
        "wrk.format = print",
        "wrk.host = 'www.example.com'",
        "wrk.port = '9'",
        "rawset(string, 'format', print)",
        "setmetatable(string, {})",
        "wrk.thread = {}",
        "io.open = print",
        "math.random = function() return 4 end",
    ] {
        let said = Bench::of(hostile).refused();
        assert!(
            said.contains("readonly") || said.contains("cannot be") || said.contains("protected"),
            "{hostile}: {said}"
        );
    }
    let text = first(
        "function string.starts(s, p) return s:sub(1, #p) == p end\n_G.counter = 1\n\
         assert(('abc'):starts('ab') and counter == 1)\nwrk.host = wrk.host",
    );
    assert!(text.starts_with("GET / "));
}

#[test]
fn errors_name_file_and_line() {
    assert!(Bench::of("local x =\nfunction(").refused().starts_with("load/test.lua:"));
    assert_eq!(
        Bench::of("\n\nlocal x = nil + 1").refused(),
        "the script: load/test.lua:3: attempt to perform arithmetic (add) on nil and number"
    );
    assert!(
        Bench::of("function init()\n error('no luck')\nend")
            .refused()
            .contains("init(): load/test.lua:2: no luck")
    );
    assert!(Bench::of("goto done").refused().starts_with("load/test.lua:1: Incomplete statement"));
    assert!(Bench::of("\x1bLua").refused().starts_with("load/test.lua:1:"));
    assert!(Bench::of("\x06\x03\x00").refused().starts_with("load/test.lua:1:"));
}

#[test]
fn nothing_prints_an_address_of_the_heap() {
    let mut script = Bench::of(
        "print(tostring({}), print, coroutine.create(function() end))\nprint(('%s'):format({}), ('%*'):format({}), `{ {} }`)\n\
         print(io.stdout, pcall(error, {}))",
    )
    .loaded();

    let said = printed(&mut script);

    assert!(!said.contains("0x"), "{said}");
}
