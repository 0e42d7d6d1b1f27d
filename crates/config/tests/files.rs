//! Includes, substitution, named files, limits, the hash.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::panic, reason = "a test")]

mod support;

use std::path::Path;

use support::{MINIMAL, Memory, complaints, env, minimal, named_files, read};
use thalweg_config::{
    AdminToken, Config, ConfigErrors, check_texts, digest, load, load_with, parse_str, read_texts,
};

fn load_memory(files: &Memory) -> Result<Config, ConfigErrors> {
    load_with(Path::new("etc/main.toml"), &env, files)
}

fn lines(files: &Memory) -> Vec<String> {
    load_memory(files)
        .map_or_else(|errors| errors.0.iter().map(ToString::to_string).collect(), |_| Vec::new())
}

const MAIN: &str =
    "version = 1\ninclude = [\"conf.d/*.toml\"]\n[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:80\"\n";
const POOL: &str = "[pool.a]\nendpoints = [{ address = \"a:1\", tls = { ca = \"ca.pem\" } }]\n";
const ROUTE: &str = "[route.r]\npolicy = \"failover\"\npools = [{ pool = \"a\" }]\n";

fn split() -> Memory {
    Memory::default()
        .with("etc/main.toml", MAIN)
        .with("etc/conf.d/10-pool.toml", POOL)
        .with("etc/conf.d/20-route.toml", ROUTE)
        .with("etc/conf.d/.hidden.toml", "[")
        .with("etc/conf.d/notes.txt", "[")
        .with("etc/conf.d/ca.pem", "ca")
}

#[test]
fn included_files_are_sorted_and_their_paths_are_their_own() {
    let config = load_memory(&split()).unwrap();
    let files: Vec<_> = config.files.iter().map(|file| file.to_str().unwrap()).collect();
    assert_eq!(files, ["etc/main.toml", "etc/conf.d/10-pool.toml", "etc/conf.d/20-route.toml"]);
    let ca = config.pools[0].tls[0].clone().unwrap().ca.unwrap();
    assert_eq!(ca.value.to_str(), Some("etc/conf.d/ca.pem"));
    assert_eq!(ca.span.file.to_str(), Some("etc/conf.d/10-pool.toml"));
    assert_eq!((ca.span.line, ca.path.as_str()), (2, "pool.a.endpoints[0].tls.ca"));
}

#[test]
fn the_state_folder_is_relative_to_its_file_and_may_be_none() {
    for (written, expected) in [
        ("", None),
        ("state_dir = \"\"", None),
        ("state_dir = \"state\"", Some("etc/state")),
        ("state_dir = \"/var/lib/thalweg\"", Some("/var/lib/thalweg")),
    ] {
        let files = split().with("etc/main.toml", format!("{MAIN}[edge]\n{written}\n"));
        let folder = load_memory(&files).unwrap().edge.state_dir;
        assert_eq!(folder.as_deref().and_then(Path::to_str), expected, "{written}");
    }
    let blank = split().with("etc/main.toml", format!("{MAIN}[edge]\nstate_dir = \" \"\n"));
    assert!(lines(&blank)[0].contains("edge.state_dir: is blank"), "{:?}", lines(&blank));
}

#[test]
fn duplicates_over_files_name_both_places() {
    let files = split()
        .with("etc/conf.d/30.toml", POOL)
        .with("etc/conf.d/31.toml", "[log]\n[[listener]]\nname = \"web\"\nbind = \"127.0.0.1:80\"\n")
        .with("etc/conf.d/32.toml", "[log]\n");
    assert_eq!(
        lines(&files),
        [
            "etc/conf.d/30.toml:1:7 pool.a: the pool a is written twice, first at etc/conf.d/10-pool.toml:1:7 (names are unique over all files)",
            "etc/conf.d/31.toml:3:8 listener.web.name: the name \"web\" is taken at etc/main.toml:4:8 (names are unique)",
            "etc/conf.d/31.toml:4:8 listener.web.bind: 127.0.0.1:80 is taken by listener web at etc/main.toml:5:8 (one listener per address)",
            "etc/conf.d/32.toml:1:2 log: is written twice, first at etc/conf.d/31.toml:1:2 (keep one)",
        ]
    );
}

#[test]
fn an_include_has_one_level_and_must_be_there() {
    let inner = split().with("etc/conf.d/40.toml", "include = [\"x.toml\"]\n");
    assert_eq!(
        lines(&inner),
        ["etc/conf.d/40.toml:1:1 include: stands in an included file (only the main file includes others)"]
    );
    let gone = split().with("etc/main.toml", MAIN.replace("*", "nope"));
    assert_eq!(lines(&gone), ["etc/main.toml:2:12 include[0]: the file etc/conf.d/nope.toml does not exist"]);
    let odd = split().with("etc/main.toml", MAIN.replace("conf.d/*", "*/x"));
    assert!(lines(&odd)[0].starts_with("etc/main.toml:2:12 include[0]: has a wildcard in a folder's name"));
}

#[test]
fn a_pattern_that_matches_nothing_warns() {
    let text = format!("include = [\"none.d/*.toml\"]\n{MINIMAL}");
    let warnings = read(&text).unwrap().warnings;
    assert_eq!(warnings[0].to_string(), "t.toml:1:12 include[0]: matches no file");
}

#[test]
fn the_main_file_does_not_include_itself_and_no_file_comes_twice() {
    let main = MAIN.replace("\"conf.d/*.toml\"", "\"*.toml\", \"conf.d/*.toml\", \"conf.d/10*\"");
    assert_eq!(load_memory(&split().with("etc/main.toml", main)).unwrap().files.len(), 3);
    // However they are written: the folder of the main file may have no name.
    let all = Memory::default()
        .with("main.toml", MAIN.replace("conf.d/*.toml", "./*.toml"))
        .with("./main.toml", "[")
        .with("./ca.pem", "content")
        .with("./more.toml", format!("{POOL}{ROUTE}"));
    assert_eq!(load_with(Path::new("main.toml"), &env, &all).unwrap().files.len(), 2);
}

#[test]
fn more_than_64_includes_are_refused() {
    let files = (0..65).fold(split(), |files, nth| files.with(&format!("etc/conf.d/x{nth}.toml"), ""));
    assert_eq!(lines(&files), ["etc/main.toml:2:12 include[0]: 67 files are included (at most 64)"]);
}

#[test]
fn bounds_hold_over_all_files_together() {
    let listener =
        |nth: usize| format!("[[listener]]\nname = \"l{nth}\"\nbind = \"127.0.0.1:{}\"\n", 1_000 + nth);
    let listeners = |range: std::ops::Range<usize>| range.map(listener).collect::<String>();
    // The main file has one more.
    let full = split().with("etc/conf.d/30.toml", listeners(0..255));
    assert_eq!(lines(&full), [""; 0]);
    assert_eq!(
        lines(&full.with("etc/conf.d/31.toml", listeners(255..300))),
        ["etc/conf.d/31.toml:1:1 listener: has 301 entries over all files (at most 256)"]
    );
    assert_eq!(
        lines(&split().with("etc/conf.d/30.toml", listeners(0..257))),
        ["etc/conf.d/30.toml:1:1 listener: has 257 entries (at most 256)"]
    );
    let probes = |range: std::ops::Range<usize>| -> String {
        range.map(|nth| format!("[probe.p{nth}]\npath = \"/\"\n")).collect()
    };
    let files = split().with("etc/conf.d/30.toml", probes(0..6_000));
    assert_eq!(
        lines(&files.with("etc/conf.d/31.toml", probes(6_000..10_001))),
        ["etc/conf.d/31.toml:8001:8 probe: has 10001 entries over all files (at most 10000)"]
    );
}

#[test]
fn the_environment_is_put_into_strings() {
    let region = |text: &str| {
        let config = read(&minimal(&format!("[edge]\nregion = \"{text}\"")));
        config.map(|config| config.edge.region).map_err(|errors| errors.0[0].problem.clone())
    };
    assert_eq!(region("${REGION}"), Ok("eu-west-1".to_owned()));
    assert_eq!(region("a-${REGION}.${NOPE:-b}"), Ok("a-eu-west-1.b".to_owned()));
    assert_eq!(region("${EMPTY:-b}"), Ok("b".to_owned()));
    assert_eq!(region("${EMPTY}"), Err("is blank".to_owned()));
    assert_eq!(region("${NOPE}"), Err("the environment variable NOPE is not set".to_owned()));
    assert_eq!(region("${NOPE"), Err("`${` without `}`".to_owned()));
    assert_eq!(region("${1}"), Err("\"1\" is not the name of an environment variable".to_owned()));
    assert_eq!(region("$REGION"), Err("\"$REGION\" holds the character '$'".to_owned()));
}

#[test]
fn the_environment_cannot_bring_in_toml_nor_move_columns() {
    let text = minimal("[probe.p]\nheaders = { A = \"${EVIL}\", B = \"\u{e9}\" }");
    let lines = complaints(&text);
    assert!(lines[0].starts_with("t.toml:12:17 probe.p.headers.A: is not a header value"), "{lines:?}");
    assert!(lines[1].starts_with("t.toml:12:32 probe.p.headers.B: "), "{lines:?}");
}

#[test]
fn errors_stand_in_the_order_of_the_files_also_when_one_is_no_toml() {
    let check = |pool: &str, expected: &[(&str, usize)]| {
        let files = split()
            .with("etc/main.toml", MAIN.replace("version = 1", "version = 2"))
            .with("etc/conf.d/10-pool.toml", pool)
            .with("etc/conf.d/20-route.toml", format!("x = 1\n{ROUTE}"));
        let errors =
            thalweg_config::check(Path::new("etc/main.toml"), &files).0.unwrap_err().with(Vec::new());
        let places = errors.0.iter().map(|error| (error.span.file.to_str().unwrap(), error.span.line));
        assert_eq!(places.collect::<Vec<_>>(), expected, "{errors}");
    };
    let (main, pools, routes) = ("etc/main.toml", "etc/conf.d/10-pool.toml", "etc/conf.d/20-route.toml");
    check(&format!("{POOL}y = 1\n"), &[(main, 1), (pools, 3), (routes, 1)]);
    check(&format!("{POOL}y =\n"), &[(main, 1), (pools, 3), (routes, 1)]);
    check(&format!("{POOL}\u{fffd}"), &[(main, 1), (pools, 3), (routes, 1)]);
}

/// The tokens in a file with this content, each as `NAME ROLE TOKEN`; else the errors.
fn tokens(content: &str) -> Result<Vec<String>, Vec<String>> {
    let text = minimal("[admin]\ntoken_file = \"t\"");
    let files = Memory::default().with("etc/main.toml", &text).with("etc/t", content);
    let shown = |token: AdminToken| format!("{} {} {}", token.name, token.role.as_str(), token.secret);
    let read = load_memory(&files).map(|config| config.admin.tokens.into_iter().map(shown).collect());
    read.map_err(|errors| errors.0.iter().map(ToString::to_string).collect())
}

#[test]
fn a_bare_token_belongs_to_admin_with_role_write() {
    assert_eq!(tokens(" s3cret\n"), Ok(vec!["admin write s3cret".to_owned()]));
    for wrong in ["", " \n", "# nobody yet\n"] {
        let lines = tokens(wrong).unwrap_err();
        let begin = "etc/main.toml:12:14 admin.token_file: the file etc/t holds no token";
        assert!(lines.len() == 1 && lines[0].starts_with(begin), "{lines:?}");
    }
}

#[test]
fn each_line_of_a_token_file_names_a_bearer_and_a_role() {
    let all = tokens("# on call\nada write t0p\n\n  bob@x\tread  s3cret\r\n").unwrap();
    assert_eq!(all, ["ada write t0p", "bob@x read s3cret"]);
    for (content, place, problem) in [
        ("two\nlines", "etc/t:1:1", "is not three words"),
        ("\u{e9}", "etc/t:1:1", "is not three words"),
        ("a write x y", "etc/t:1:1", "is not three words"),
        ("a write x\n b admin y", "etc/t:2:2", "the role is neither read nor write"),
        ("a/b read x", "etc/t:1:1", "the name is not"),
        ("a read \u{e9}", "etc/t:1:1", "visible ASCII"),
        ("a read x\na write y", "etc/t:2:1", "the name \"a\" is taken in line 1"),
        ("a read x\nb write x", "etc/t:2:1", "the token is that of \"a\""),
    ] {
        let lines = tokens(content).unwrap_err();
        assert!(lines[0].starts_with(&format!("{place} admin.token_file: ")), "{lines:?}");
        assert!(lines[0].contains(problem), "{lines:?}, not {problem:?}");
        assert!(!lines.concat().contains("write x"), "no token is shown: {lines:?}");
    }
    assert_eq!(tokens("two\nlines").unwrap_err().len(), 2, "all errors at once");
}

#[test]
fn reading_with_a_token_only_needs_a_token_file() {
    let text = minimal("[admin]\nanonymous_read = false");
    let files = Memory::default().with("etc/main.toml", &text);
    let errors = load_memory(&files).unwrap_err();
    assert!(errors.0[0].to_string().starts_with("etc/main.toml:12:18 admin.anonymous_read: "), "{errors}");
}

#[test]
fn equal_hashes_mean_unchanged() {
    let hash = |region: &str, token: &str, text: &str| {
        let files = named_files().with("t.toml", text).with("admin.token", token);
        let env = |name: &str| (name == "R").then(|| region.to_owned());
        load_with(Path::new("t.toml"), &env, &files).unwrap().hash
    };
    let text = minimal("[edge]\nregion = \"${R}\"\n[admin]\ntoken_file = \"admin.token\"");
    let one = hash("a", "x", &text);
    assert_eq!(one, hash("a", "x", &text));
    assert_ne!(one, hash("b", "x", &text));
    assert_ne!(one, hash("a", "y", &text));
    assert_ne!(one, hash("a", "x", &format!("{text} ")));
    let files = read(&minimal("[admin]\ntoken_file = \"admin.token\"")).unwrap().files;
    assert_eq!(files, [Path::new("t.toml"), Path::new("admin.token")], "what counts is also watched");
}

#[test]
fn a_file_that_is_no_text_is_refused_at_its_place() {
    let lines_of = |bytes: &[u8]| lines(&Memory::default().with("etc/main.toml", bytes));
    assert_eq!(lines_of(b"version = 1\nx = \"\xff\""), ["etc/main.toml:2:6: is not UTF-8"]);
    assert_eq!(
        lines_of(&vec![b'#'; (4 << 20) + 1]),
        ["etc/main.toml:0:0: is longer than 4 MiB (split it with `include`)"]
    );
    assert_eq!(lines(&Memory::default()), ["etc/main.toml:0:0: the file etc/main.toml does not exist"]);
}

#[test]
fn the_disk_is_read_as_memory_is() {
    let folder = std::env::temp_dir().join(format!("thalweg-config-{}", std::process::id()));
    let conf = folder.join("conf.d");
    std::fs::create_dir_all(&conf).unwrap();
    std::fs::write(folder.join("main.toml"), MAIN).unwrap();
    std::fs::write(conf.join("a.toml"), POOL).unwrap();
    std::fs::write(conf.join("b.toml"), ROUTE).unwrap();
    std::fs::write(conf.join("ca.pem"), "ca").unwrap();
    let config = load(&folder.join("main.toml")).unwrap();
    assert_eq!(config.files.len(), 3);
    let text = format!("{MAIN}[pool.b]\nendpoints = [{{ address = \"b:1\" }}]\n");
    let name = folder.join("other.toml");
    assert_eq!(parse_str(&text, name.to_str().unwrap()).unwrap().topology.pools.len(), 2);
    assert!(load(&folder).unwrap_err().to_string().contains("is a folder"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn what_is_no_regular_file_is_refused_at_its_place_and_never_waited_for() {
    let folder = std::env::temp_dir().join(format!("thalweg-config-odd-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("folder")).unwrap();
    let at = |name: &str| folder.join(name);
    let fifo = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
    rustix::fs::mknodat(rustix::fs::CWD, at("pipe"), fifo.0, fifo.1, 0).unwrap();
    std::os::unix::fs::symlink("pipe", at("link")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    let check = |more: &str, path: &str, problem: &str| {
        std::fs::write(at("t.toml"), minimal(more)).unwrap();
        let line = load(&at("t.toml")).unwrap_err().0[0].to_string();
        assert!(line.contains(path) && line.contains(problem), "{more}: {line}");
    };
    let pipe = "cannot be read: it is a pipe, not a regular file";
    for (file, problem) in
        [("pipe", pipe), ("link", pipe), ("/dev/zero", "a device"), ("folder", "is a folder")]
    {
        check(&format!("[admin]\ntoken_file = \"{file}\""), "t.toml:12:14 admin.token_file: ", problem);
        let include = format!("version = 1\ninclude = [\"{file}\"]\n");
        std::fs::write(at("u.toml"), include).unwrap();
        let line = load(&at("u.toml")).unwrap_err().0[0].to_string();
        assert!(line.contains("u.toml:2:12 include[0]: ") && line.contains(problem), "{line}");
    }
    check("[admin]\ntoken_file = \"socket\"", "admin.token_file: ", "cannot be read");
    assert!(load(&at("pipe")).unwrap_err().to_string().contains(pipe));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn thousands_of_errors_are_cut_and_counted() {
    let many: String = (0..3_000).map(|nth| format!("x{nth} = 1\n")).collect();
    let errors = read(&minimal(&format!("[edge]\n{many}"))).unwrap_err();
    assert_eq!(errors.0.len(), 1_001);
    assert_eq!(errors.0[1_000].problem, "and 2000 more errors");
}

#[test]
fn a_thousand_pools_of_ten_endpoints_are_read_quickly() {
    let mut text = MINIMAL.to_owned();
    for pool in 0..1_000 {
        let list: Vec<_> = (0..10)
            .map(|nth| format!("{{ address = \"10.{}.{}.{nth}:8000\", weight = 2 }}", pool / 250, pool % 250))
            .collect();
        text.push_str(&format!("[pool.p{pool}]\nendpoints = [{}]\n", list.join(", ")));
        text.push_str(&format!("[route.r{pool}]\nhosts = [\"h{pool}.example.com\"]\npolicy = \"failover\"\npools = [{{ pool = \"p{pool}\" }}]\n"));
    }
    let started = std::time::Instant::now();
    let config = read(&text).unwrap();
    let took = started.elapsed();
    assert_eq!(config.topology.pools.len(), 1_001);
    println!("{took:?}");
    // Generous: this is a debug build on a busy machine.
    assert!(took.as_secs() < 5, "{took:?}");
}

#[test]
fn a_byte_order_mark_and_carriage_returns_are_read_over() {
    let crlf = MINIMAL.replace('\n', "\r\n");
    assert_eq!(complaints(&format!("\u{feff}{crlf}")), [""; 0]);
    let line = complaints(&crlf.replace(":8080", "")).remove(0);
    assert!(line.starts_with("t.toml:4:8 listener.web.bind: "), "{line}");
}

#[test]
fn every_way_to_write_a_table_is_the_same_table() {
    let one = MINIMAL.replace(
        "[pool.a]\nendpoints = [{ address = \"10.0.0.1:8000\" }]",
        "[[pool.a.endpoints]]\naddress = \"10.0.0.1:8000\"",
    );
    let other = MINIMAL.replace("[pool.a]\nendpoints = ", "[pool]\na.endpoints = ");
    for text in [one, other] {
        assert_eq!(read(&text).unwrap().topology, read(MINIMAL).unwrap().topology, "{text}");
    }
}

#[test]
fn an_error_of_one_kind_does_not_hide_another() {
    let text = MINIMAL
        .replace("\"a\" }", "\"b\" }")
        .replace("version = 1", "version = 1\nversion = 1\nlog = { lvel = 1 }");
    let lines = complaints(&text);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains("`version` is written twice (the first is in line 1)"));
    assert!(lines[1].contains("log.lvel: unknown key (did you mean `level`?)"));
    assert!(lines[2].contains("there is no pool \"b\""));
}

#[test]
fn a_bad_path_does_not_collide() {
    let text = minimal("[route.s]\npath_prefix = \"x\"\npolicy = \"failover\"\npools = [{ pool = \"a\" }]");
    assert_eq!(complaints(&text).len(), 1);
}

#[test]
fn a_config_is_read_again_from_what_was_kept_of_it() {
    let scratch = std::env::temp_dir().join(format!("thalweg-kept-{}", std::process::id()));
    std::fs::create_dir_all(scratch.join("conf.d")).unwrap();
    let main = scratch.join("main.toml");
    std::fs::write(&main, MAIN).unwrap();
    std::fs::write(scratch.join("conf.d/10-pool.toml"), POOL).unwrap();
    std::fs::write(scratch.join("conf.d/20-route.toml"), ROUTE).unwrap();
    std::fs::write(scratch.join("conf.d/ca.pem"), "ca").unwrap();
    let first = load(&main).unwrap();
    assert_eq!(first.texts.len(), 3);
    assert_eq!(&*read_texts(&main).unwrap(), &*first.texts);
    std::fs::write(&main, "version = 1\n").unwrap();
    std::fs::write(scratch.join("conf.d/15-more.toml"), "[pool.more]\n").unwrap();
    std::fs::remove_file(scratch.join("conf.d/20-route.toml")).unwrap();
    let again = check_texts(&first.texts).0.unwrap();
    assert_eq!((&again.hash, &again.files, &again.texts), (&first.hash, &first.files, &first.texts));
    assert_eq!(digest(&again.texts), digest(&first.texts));
    assert_ne!(digest(&read_texts(&main).unwrap()), digest(&first.texts));
    std::fs::remove_file(scratch.join("conf.d/ca.pem")).unwrap();
    let gone = check_texts(&first.texts).0.unwrap_err();
    assert!(gone.errors.to_string().contains("ca.pem does not exist"), "{}", gone.errors);
    std::fs::remove_dir_all(scratch).unwrap();
}
