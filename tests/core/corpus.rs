//! Every input that was ever found worth keeping, through the functions that `make fuzz` feeds (`tests/fuzzed`).
//!
//! What fuzzing found is one text for each target, `fuzz/corpus/<target>.txt`: an input a line, with `\n`, `\\` and `\x1f` for a
//! new line, a backslash and any other byte. Where `HAWSER_FUZZ_INPUTS` names a folder, the inputs are written there, each as a
//! file, for libFuzzer to start from.

use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
};

use crate::support::{cases::cases, files, read};

/// An input, and what a person knows it by.
type Input = (String, Vec<u8>);

/// What runs of the fuzzer found.
fn found(target: &str) -> impl Iterator<Item = Input> {
    let text = read(format!("fuzz/corpus/{target}.txt"));
    let inputs: Vec<Input> = text.lines().zip(1..).map(|(line, number)| (format!("line-{number}"), unescaped(line))).collect();
    inputs.into_iter()
}

/// The files of a folder.
fn written(folder: &str) -> impl Iterator<Item = Input> {
    files(folder, "json").into_iter().map(|path| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        (name.to_owned(), fs::read(&path).unwrap())
    })
}

fn unescaped(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut parts = line.split('\\');
    bytes.extend(parts.next().unwrap_or_default().as_bytes());
    while let Some(part) = parts.next() {
        // Two backslashes have nothing between them.
        let (byte, rest) = match part.split_at_checked(1) {
            None => (b'\\', parts.next().expect("a backslash at the end of a line")),
            Some(("n", rest)) => (b'\n', rest),
            Some(("x", rest)) => {
                let (digits, rest) = rest.split_at(2);
                (u8::from_str_radix(digits, 16).expect("two hexadecimal digits"), rest)
            }
            Some((other, _)) => panic!("`\\{other}` stands for nothing"),
        };
        bytes.push(byte);
        bytes.extend(rest.as_bytes());
    }
    bytes
}

/// Runs every input that `make fuzz` starts from, and says which ones fail.
fn replay(target: &str, inputs: impl Iterator<Item = Input>, at_least: usize, check: fn(&[u8])) {
    let inputs: Vec<Input> = inputs.collect();
    if let Some(folder) = fuzz_inputs() {
        let folder = Path::new(&folder).join(target);
        fs::create_dir_all(&folder).unwrap();
        inputs.iter().for_each(|(name, data)| fs::write(folder.join(name), data).unwrap());
    }
    let fails = |(_, data): &&Input| catch_unwind(AssertUnwindSafe(|| check(data))).is_err();
    let failed: Vec<&String> = inputs.iter().filter(fails).map(|(name, _)| name).collect();
    assert!(failed.is_empty(), "what is wrong with these inputs of {target} stands above: {failed:#?}");
    assert!(inputs.len() >= at_least, "inputs went missing: {} of {at_least}", inputs.len());
}

#[expect(clippy::disallowed_methods, reason = "`make fuzz` says so by a variable")]
fn fuzz_inputs() -> Option<std::ffi::OsString> {
    env::var_os("HAWSER_FUZZ_INPUTS")
}

#[test]
fn every_event_found_so_far() {
    let asked = cases().into_iter().map(|case| (format!("case-{}", case.name), case.request.to_string().into_bytes()));
    replay("event", found("event").chain(written("events")).chain(asked), 300, crate::fuzzed::event::check);
}

#[test]
fn every_policy_found_so_far() {
    replay("policy", found("policy").chain(written("fuzz/seeds/policy")), 120, crate::fuzzed::policy::check);
}

#[test]
fn every_reply_found_so_far() {
    replay("reply", found("reply").chain(written("fuzz/seeds/reply")), 97, crate::fuzzed::reply::check);
}

#[test]
fn an_input_is_read_byte_for_byte() {
    assert_eq!(unescaped(r"a\\n\n\x00\xff\\\\\x5cü"), b"a\\n\n\0\xff\\\\\\\xc3\xbc");
}
