//! Thousands of broken configs, the same in every run: the reader never panics, refuses with a place, and
//! agrees with the schema. What the schema refuses the reader refuses; what the reader accepts the schema accepts.
#![expect(clippy::too_many_lines, clippy::indexing_slicing, reason = "a test")]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::{Memory, env, named_files};
use thalweg_config::{Config, ConfigErrors, load_with, schema};

const SEED: u64 = 0x7468_616c_7765_6701;
const MUTANTS: usize = 6_000;

/// SplitMix64.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.roll() % end.max(1) as u64) as usize
    }

    fn pick<'p, T: ?Sized>(&mut self, of: &[&'p T]) -> &'p T {
        of[self.below(of.len())]
    }
}

const VALUES: [&str; 40] = [
    "-1",
    "0",
    "1",
    "7",
    "65536",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775808",
    "340282366920938463463374607431768211456",
    "0x7fff_ffff",
    "0.5",
    "1e999",
    "-0.1",
    "nan",
    "-inf",
    "true",
    "false",
    "[]",
    "[[]]",
    "[1, \"a\", true]",
    "{}",
    "{ a = 1 }",
    "[{}]",
    "1979-05-27T07:32:00Z",
    "\"\"",
    "\" \"",
    "\"\\u0000\"",
    "\"\\uFEFF\"",
    "\"x\"",
    "\"1s\"",
    "\"0s\"",
    "\"10MiB\"",
    "\"999999999999999999999h\"",
    "\"${REGION}\"",
    "\"${NOPE}\"",
    "\"${NOPE:-1s}\"",
    "\"${\"",
    "\"${EMPTY}\"",
    "\"a-b_c.d\"",
    "'''\n'''",
];

const LINES: [&str; 22] = [
    "[edge]",
    "[pool.x]",
    "[pool.aws-us-east-1]",
    "[[listener]]",
    "[[pool]]",
    "[route.\"\"]",
    "[route.\"a b\"]",
    "[probe.-x]",
    "version = 1",
    "version = 2",
    "include = [\"*.toml\"]",
    "include = [\"nope.toml\"]",
    "a.b.c = 1",
    "[eject]\nbase = \"9s\"\nmax = \"1s\"",
    "[",
    "]]",
    "= 1",
    "\"\" = 1",
    "x = [[[[[[[[[[[[1]]]]]]]]]]]]",
    "\u{feff}",
    "[pool.big]\nendpoints = [{ address = \"[::1]:1\" }, { address = \"::1:1\" }]",
    "# a comment",
];

/// Start and end of the values on the right of a `=` that end on their line.
fn value_spans(text: &str) -> Vec<(usize, usize)> {
    let mut spans = Vec::new();
    for (at, _) in text.match_indices(" = ") {
        let rest = &text[at + 3..];
        let end = rest.find([',', '}', '\n', '#']).unwrap_or(rest.len());
        spans.push((at + 3, at + 3 + end));
    }
    spans
}

fn string_spans(text: &str) -> Vec<(usize, usize)> {
    let quotes: Vec<usize> = text.match_indices('"').map(|(at, _)| at).collect();
    quotes.chunks_exact(2).map(|pair| (pair[0] + 1, pair[1])).collect()
}

fn replaced(text: &str, (start, end): (usize, usize), with: &str) -> Vec<u8> {
    [text.get(..start).unwrap_or_default(), with, text.get(end..).unwrap_or_default()].concat().into_bytes()
}

/// One mutation of a text that may be broken already.
fn mutate(dice: &mut Dice, bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let lines: Vec<&str> = text.split('\n').collect();
    let line = dice.below(lines.len());
    let joined = |lines: Vec<&str>| lines.join("\n").into_bytes();
    let (values, strings) = (value_spans(&text), string_spans(&text));
    match dice.below(30) {
        0 => bytes[..dice.below(bytes.len() + 1)].to_vec(),
        1 => dice.pick::<str>(&["", " ", "\n", "\r\n\t", "version = 1"]).as_bytes().to_vec(),
        2..=8 if !strings.is_empty() => {
            let at = strings[dice.below(strings.len())];
            replaced(
                &text,
                at,
                dice.pick(&[
                    "",
                    " ",
                    "\t",
                    "é",
                    "${",
                    "$",
                    "aws-us-east-2",
                    "name",
                    "127.0.0.1:80",
                    "1h",
                    "999h",
                    "${REGION}",
                    "gcp-europe-west",
                    "/a/../b",
                ]),
            )
        }
        9..=16 if !values.is_empty() => {
            let at = values[dice.below(values.len())];
            replaced(&text, at, dice.pick(&VALUES))
        }
        17 | 18 => {
            let mut lines = lines.clone();
            lines.insert(dice.below(lines.len()), lines[line]);
            joined(lines)
        }
        19 => {
            let mut bytes = bytes.to_vec();
            bytes.insert(dice.below(bytes.len() + 1), 0x80 | dice.below(128) as u8);
            bytes
        }
        20..=22 if lines[line].len() > 1 => {
            // One letter of a key, or of anything else.
            let start: usize = lines[..line].iter().map(|line| line.len() + 1).sum();
            let at = start + dice.below(lines[line].len());
            let mut bytes = text.clone().into_bytes();
            bytes[at] = b'a' + dice.below(26) as u8;
            bytes
        }
        23 | 24 => {
            joined(lines.iter().enumerate().filter(|(nth, _)| *nth != line).map(|(_, line)| *line).collect())
        }
        25 | 26 => {
            let mut lines = lines.clone();
            lines.insert(line, dice.pick(&LINES));
            joined(lines)
        }
        27 | 28 => {
            let mut lines = lines.clone();
            let other = dice.below(lines.len());
            lines.swap(line, other);
            joined(lines)
        }
        _ => {
            let mut bytes = bytes.to_vec();
            if let Some(byte) = bytes.len().checked_sub(1).map(|last| dice.below(last + 1)) {
                bytes[byte] = dice.below(256) as u8;
            }
            bytes
        }
    }
}

fn to_json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => json!(text),
        toml::Value::Integer(int) => json!(int),
        toml::Value::Float(float) => json!(float),
        toml::Value::Boolean(flag) => json!(flag),
        toml::Value::Datetime(date) => json!(date.to_string()),
        toml::Value::Array(items) => items.iter().map(to_json).collect(),
        toml::Value::Table(table) => table.iter().map(|(key, value)| (key.clone(), to_json(value))).collect(),
    }
}

fn holds_together(config: &Config) {
    let pools = &config.topology.pools;
    assert!(!config.listeners.is_empty() && !pools.is_empty() && !config.topology.routes.is_empty());
    assert_eq!(pools.len(), config.pools.len());
    assert_eq!(config.topology.routes.len(), config.routes.len());
    for (pool, settings) in pools.iter().zip(&config.pools) {
        assert_eq!(pool.endpoints.len(), settings.tls.len());
        assert!(!pool.endpoints.is_empty());
        assert_eq!(pool.probe.is_some(), settings.probe.is_some());
        assert!((0.0..=1.0).contains(&pool.panic_threshold));
    }
    for route in &config.topology.routes {
        assert!(route.path_prefix.starts_with('/'));
        assert!(!route.pools.is_empty());
        assert!(route.pools.iter().all(|pool| pool.pool.index() < pools.len() && pool.dial <= 100));
    }
    assert_eq!(config.hash.len(), 64);
}

fn places_hold(errors: &ConfigErrors, mutant: &str) {
    assert!(!errors.0.is_empty(), "refused without a reason:\n{mutant}");
    let places: Vec<_> = errors.0.iter().map(|error| (error.span.line, error.span.column)).collect();
    assert!(places.is_sorted(), "not in file order: {errors}\n{mutant}");
    let lines = mutant.split('\n').count();
    for error in &errors.0 {
        assert!((1..=lines).contains(&error.span.line), "{error}\n{mutant}");
        assert!(error.span.column >= 1, "{error}");
        assert!(!error.problem.is_empty() && !error.to_string().contains('\n'), "{error}");
    }
}

#[test]
fn every_mutant_is_refused_with_a_place_or_accepted_by_reader_and_schema_alike() {
    let schema = schema();
    let judge = jsonschema::draft202012::new(&schema).expect("the schema is a schema");
    let bases = [
        include_str!("../../../config/full.toml"),
        include_str!("../../../config/failover.toml"),
        include_str!("../../../config/weighted.toml"),
        include_str!("../../../config/latency.toml"),
        include_str!("../../../config/minimal.toml"),
    ];
    let mut dice = Dice(SEED);
    let (mut accepted, mut by_schema, mut by_reader, mut not_toml) = (0, 0, 0, 0);
    for nth in 0..MUTANTS {
        let mut mutant = bases[nth % bases.len()].as_bytes().to_vec();
        for _ in 0..=dice.below(2) {
            mutant = mutate(&mut dice, &mutant);
        }
        let mut files = named_files();
        if dice.below(20) == 0 {
            files = Memory::default();
        }
        let verdict = load_with(Path::new("t.toml"), &env, &files.with("t.toml", &mutant));
        let text = String::from_utf8_lossy(&mutant).into_owned();
        let parsed =
            String::from_utf8(mutant).ok().and_then(|text| toml::from_str::<toml::Value>(&text).ok());
        let valid = parsed.as_ref().map(|parsed| judge.is_valid(&to_json(parsed)));
        match (&verdict, valid) {
            (Ok(config), Some(true)) => {
                accepted += 1;
                holds_together(config);
            }
            (Ok(_), Some(false)) => {
                let why: Vec<_> = judge
                    .iter_errors(&to_json(&parsed.expect("parsed")))
                    .map(|e| format!("{} {e}", e.instance_path()))
                    .collect();
                panic!("mutant {nth}: accepted by the reader, refused by the schema: {why:?}\n{text}");
            }
            (Ok(_), None) => panic!("mutant {nth}: accepted, and not TOML:\n{text}"),
            (Err(errors), valid) => {
                places_hold(errors, &text);
                match valid {
                    Some(true) => by_reader += 1,
                    Some(false) => by_schema += 1,
                    None => not_toml += 1,
                }
            }
        }
    }
    // The test is worth something only while every verdict is frequent.
    let all = [accepted, by_schema, by_reader, not_toml];
    assert!(all.iter().all(|count| *count > MUTANTS / 20), "{all:?}");
}
