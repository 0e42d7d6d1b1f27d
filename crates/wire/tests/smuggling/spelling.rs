//! Spellings of the framing fields: names, values and line ends that some server takes for the real ones.

/// What a spelling of a field is by the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelled {
    /// The field itself, with a good value.
    Well,
    /// Another field's name or none, a bad value, or a look-alike.
    Badly,
}

/// One spelling of a framing field, with the end of its line.
#[derive(Clone, Debug)]
pub(super) struct Spelling {
    pub(super) line: Vec<u8>,
    pub(super) spelled: Spelled,
}

/// Between the two words of a name.
const BETWEENS: &[&str] = &[
    "_", ".", "", "--", "~", "|", "'", "`", "+", "*", "!", "$", "&", "^", "%", "#", "-_", "\u{2010}",
    "\u{2013}", "\u{ad}-", " ", " -", "- ", "\t", "\0", "-\0", "\x0b-", "/", ";", ",", "\"-\"", "(-)",
    "\r\n -", "\r-", "\n-",
];

/// Before and behind a name.
const AROUND_NAME: &[(&str, &str)] = &[
    ("", " "),
    ("", "\t"),
    ("", "\0"),
    ("", "\x0b"),
    ("", "\x0c"),
    ("", "\x7f"),
    ("", "\u{a0}"),
    ("", "_"),
    ("", "-"),
    ("", "."),
    ("", ";"),
    ("", ","),
    ("", "\""),
    ("", "\r"),
    ("", "\r\n "),
    (" ", ""),
    ("\t", ""),
    ("\0", ""),
    ("\x0b", ""),
    ("\x01", ""),
    ("\r", ""),
    ("\n", ""),
    ("-", ""),
    ("_", ""),
    ("\u{feff}", ""),
    ("\u{a0}", ""),
    ("(x)", ""),
    ("\"", "\""),
    ("X: y\r", ""),
    ("X: y\n", ""),
    ("X: y\r\n ", ""),
    ("X: y\r\n\t", ""),
    ("X\r\n", " "),
    (":", ""),
    ("X:y\0\n", ""),
    ("x ", ""),
];

/// Names that some server takes for `name`.
pub(super) fn names(name: &str) -> Vec<(Vec<u8>, Spelled)> {
    let (first, second) = name.split_once('-').unwrap_or((name, ""));
    let mut swapped = name.to_ascii_lowercase();
    swapped.replace_range(1..3, &swapped[1..3].to_ascii_uppercase());
    let well = [name.to_owned(), name.to_ascii_lowercase(), name.to_ascii_uppercase(), swapped];
    let mut names: Vec<(Vec<u8>, Spelled)> =
        well.into_iter().map(|name| (name.into_bytes(), Spelled::Well)).collect();
    let joined = |between: &str| format!("{first}{between}{second}").into_bytes();
    names.extend(BETWEENS.iter().map(|between| (joined(between), Spelled::Badly)));
    let wrapped = |(before, behind): &(&str, &str)| {
        let mut bytes = before.as_bytes().to_vec();
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(behind.as_bytes());
        (bytes, Spelled::Badly)
    };
    names.extend(AROUND_NAME.iter().map(wrapped));
    names.push((letters_above(name), Spelled::Badly));
    names
}

/// The name with the high bit of one letter set, as some readers mask it away.
fn letters_above(name: &str) -> Vec<u8> {
    name.bytes().enumerate().map(|(nth, byte)| if nth == 2 { byte | 0x80 } else { byte }).collect()
}

/// Values of `Transfer-Encoding`.
pub(super) fn codings() -> Vec<(Vec<u8>, Spelled)> {
    let well = ["chunked", "Chunked", "CHUNKED", "\tchunked", "   chunked", "chunked \t"];
    let badly = [
        "",
        "chunke",
        "xchunked",
        "chunkedx",
        "chunked,",
        ",chunked",
        ", chunked",
        "chunked,,",
        "chunked;",
        "chunked;q=1",
        "chunked; a=\"b\"",
        "\"chunked\"",
        "'chunked'",
        "chunked, chunked",
        "chunked chunked",
        "chunked, identity",
        "identity, chunked",
        "identity",
        "chunked, gzip",
        "gzip, chunked",
        "gzip",
        "cow",
        "cow, chunked",
        "chunked, cow",
        "chunked\0",
        "\0chunked",
        "chu\0nked",
        "\x0bchunked",
        "chunked\x0b",
        "\x0cchunked",
        "chunked\x0c",
        "\u{a0}chunked",
        "chunked\u{a0}",
        "\u{feff}chunked",
        "chunk\u{e9}d",
        "ch\u{17f}nked",
        "chunked\r",
        "\rchunked",
        "\r\n chunked",
        "\r\n\tchunked",
        "x\r\n chunked",
        "\nchunked",
        "chunked\n",
        " \n chunked",
        "chunked#",
        "[chunked]",
        "{chunked}",
        "chunked/1",
        "chunked=1",
        "c hunked",
        "chunked\x7f",
        "chunked\x1f",
        ":chunked",
        "; chunked",
        "x chunked",
        "chunked-",
        "chunked_",
        "deflate, chunked",
        "chunked\u{2028}",
        "\x08chunked",
    ];
    spelled(&well, &badly)
}

/// Before and behind a length.
const AROUND_LENGTH: &[(&str, &str)] = &[
    ("+", ""),
    ("-", ""),
    ("0x", ""),
    ("0X", ""),
    ("0o", ""),
    ("0b", ""),
    ("\"", "\""),
    ("'", "'"),
    ("", ".0"),
    ("", "."),
    (".", ""),
    ("", "e0"),
    ("", "E0"),
    ("", ","),
    (",", ""),
    (", ", ""),
    ("", ";"),
    ("", ";a=b"),
    ("", " 0"),
    ("0 ", ""),
    ("", ",0"),
    ("0,", ""),
    ("", ", 0"),
    ("", "\0"),
    ("\0", ""),
    ("\x0b", ""),
    ("", "\x0b"),
    ("\x0c", ""),
    ("", "\x0c"),
    ("\u{a0}", ""),
    ("", "\u{a0}"),
    ("\u{feff}", ""),
    ("", "_"),
    ("_", ""),
    ("", "L"),
    ("", "u"),
    ("", "h"),
    ("\r", ""),
    ("", "\r"),
    ("\r\n ", ""),
    ("\r\n\t", ""),
    ("\n", ""),
    ("", "\n"),
    ("", "\r\n 0"),
    ("1844674407370955161", ""),
    ("999999999999999999999", ""),
    ("", "\x7f"),
    ("(", ")"),
    ("#", ""),
    (":", ""),
    ("=", ""),
    ("~", ""),
    ("", "%00"),
    ("", " chunked"),
    ("++", ""),
    ("+-", ""),
    ("- ", ""),
    ("0+", ""),
    ("", "d"),
    ("", "\u{2028}"),
];

/// Values of `Content-Length` that some server takes for `length`.
pub(super) fn lengths(length: usize) -> Vec<(Vec<u8>, Spelled)> {
    let n = length.to_string();
    let well = [
        n.clone(),
        format!("0{n}"),
        format!("0000000000000000000000{n}"),
        format!("\t{n}"),
        format!("{n} \t"),
    ];
    let mut badly = Vec::new();
    for (before, behind) in AROUND_LENGTH {
        badly.push(format!("{before}{n}{behind}"));
    }
    badly.push(format!("{n},{n}"));
    badly.push(format!("{n}, {n}"));
    badly.push(format!("{n} {n}"));
    badly.push(format!("{}_{}", &n[..1], &n[1..]));
    badly.push(
        n.chars().map(|digit| char::from_u32('\u{660}' as u32 + digit as u32 - 48).unwrap_or('0')).collect(),
    );
    badly.push(
        n.chars().map(|digit| char::from_u32('\u{ff10}' as u32 + digit as u32 - 48).unwrap_or('0')).collect(),
    );
    badly.push(String::new());
    badly.push(format!("{length:x}h"));
    let well: Vec<&str> = well.iter().map(String::as_str).collect();
    let badly: Vec<&str> = badly.iter().map(String::as_str).collect();
    spelled(&well, &badly)
}

fn spelled(well: &[&str], badly: &[&str]) -> Vec<(Vec<u8>, Spelled)> {
    let tag = |values: &[&str], spelled| -> Vec<(Vec<u8>, Spelled)> {
        values.iter().map(|value| (value.as_bytes().to_vec(), spelled)).collect()
    };
    [tag(well, Spelled::Well), tag(badly, Spelled::Badly)].concat()
}

/// Line ends that some server takes for CR LF.
const ENDS: [&str; 6] = ["\n", "\r", "\r\r\n", "\n\r\n", " \r\n\t\r\n", "\r\n \r\n"];

/// Every spelling of one field: odd names with the usual value, the usual name with odd values, odd line ends.
pub(super) fn spellings(name: &str, values: &[(Vec<u8>, Spelled)]) -> Vec<Spelling> {
    let line = |parts: [&[u8]; 4], spelled| Spelling { line: parts.concat(), spelled };
    let Some((usual, _)) = values.first() else { return Vec::new() };
    let mut made = Vec::new();
    for (name, spelled) in names(name) {
        made.push(line([&name, b": ", usual, b"\r\n"], spelled));
    }
    for (value, spelled) in values {
        made.push(line([name.as_bytes(), b": ", value, b"\r\n"], *spelled));
        made.push(line([name.as_bytes(), b":", value, b"\r\n"], *spelled));
    }
    for end in ENDS {
        made.push(line([name.as_bytes(), b": ", usual, end.as_bytes()], Spelled::Badly));
    }
    made
}
