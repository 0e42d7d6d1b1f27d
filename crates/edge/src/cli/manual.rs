//! The manual: one page with the options of every command and the exit codes. All text about a command comes from its
//! declaration.

use std::io::{self, Write};

use clap::Command;
use clap_mangen::Man;

use super::terminal::exit;

/// The page as roff.
pub(super) fn page(line: &Command) -> io::Result<Vec<u8>> {
    let whole = Man::new(line.clone().subcommand_value_name("command"));
    let mut out = Vec::new();
    whole.render_title(&mut out)?;
    add(&mut out, true, |out| whole.render_name_section(out))?;
    add(&mut out, true, |out| whole.render_synopsis_section(out))?;
    add(&mut out, true, |out| whole.render_description_section(out))?;
    add(&mut out, true, |out| whole.render_options_section(out))?;
    writeln!(out, ".SH COMMANDS")?;
    // Every command has `--help`, which is described once, above.
    let mut line = line.clone().disable_help_flag(true);
    line.build();
    for command in line.get_subcommands().filter(|command| !command.is_hide_set()) {
        writeln!(out, ".SS {}", command.get_name())?;
        let part = Man::new(command.clone());
        add(&mut out, false, |out| part.render_synopsis_section(out))?;
        writeln!(out, ".PP")?;
        add(&mut out, false, |out| part.render_description_section(out))?;
        add(&mut out, false, |out| part.render_options_section(out))?;
    }
    writeln!(out, ".SH \"EXIT STATUS\"")?;
    for (code, meaning) in exit::MEANINGS {
        writeln!(out, ".TP\n\\fB{code}\\fR\n{meaning}.")?;
    }
    Ok(out)
}

/// Adds a section that could be a page of its own, without a page's opening, and with its heading if it is to keep it.
fn add(
    out: &mut Vec<u8>,
    headed: bool,
    render: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<()> {
    let mut section = Vec::new();
    render(&mut section)?;
    for row in section.split_inclusive(|byte| *byte == b'\n') {
        let opens = [&b".ie "[..], b".el "].iter().any(|control| row.starts_with(control));
        if !opens && (headed || !row.starts_with(b".SH ")) {
            out.extend_from_slice(row);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::Stdio;

    use clap::CommandFactory;

    use super::*;
    use crate::cli::args::CommandLine;

    fn text() -> String {
        String::from_utf8(page(&CommandLine::command()).unwrap()).unwrap()
    }

    #[test]
    fn the_manual_names_every_command_with_its_options_and_every_exit_code() {
        let page = text().replace("\\-", "-").replace("\\*(Aq", "'");
        let (_, commands) = page.split_once("\n.SH COMMANDS\n").unwrap();
        let (commands, codes) = commands.split_once("\n.SH \"EXIT STATUS\"\n").unwrap();
        let mut line = CommandLine::command();
        line.build();
        for command in line.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            let (_, part) = commands.split_once(&format!(".SS {name}\n")).unwrap_or_else(|| panic!("{name}"));
            let part = part.split("\n.SS ").next().unwrap();
            assert!(part.contains(&format!("\\fBthalweg {name}\\fR")), "{part}");
            assert!(part.contains(&command.get_about().unwrap().to_string()), "{part}");
            for option in command.get_arguments().filter(|option| option.get_id() != "help") {
                let help = option.get_help().unwrap().to_string();
                assert!(part.contains(&help), "{name}: {help}");
                let long = option.get_long().map(|long| format!(".TP\n\\fB--{long}\\fR"));
                let short = option.get_long().map(|long| format!(", \\fB--{long}\\fR"));
                let named = [long, short].into_iter().flatten().any(|header| part.contains(&header));
                assert!(named || option.is_positional(), "{name}: {:?}", option.get_long());
            }
        }
        assert!(page.contains("\\fB--version\\fR") && page.contains("\\fB--help\\fR"));
        let all = [
            (exit::FINE, "0"),
            (exit::FAILURE, "1"),
            (exit::CONFIG, "2"),
            (exit::BIND, "3"),
            (exit::WARNING, "4"),
        ];
        for (code, digit) in all {
            assert!(
                code.to_string() == digit && codes.contains(&format!(".TP\n\\fB{digit}\\fR\n")),
                "{codes}"
            );
        }
    }

    #[test]
    fn man_reads_the_manual_without_a_warning() {
        let mut man = std::process::Command::new("man");
        man.args(["--warnings", "-l", "-"]).env("MANPAGER", "cat").env("MANWIDTH", "100");
        let started = man.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let Ok(mut reads) = started else {
            thalweg_testkit::skip("man_reads_the_manual_without_a_warning", "no man here");
            return;
        };
        reads.stdin.take().unwrap().write_all(text().as_bytes()).unwrap();
        let read = reads.wait_with_output().unwrap();
        assert!(read.status.success() && read.stderr.is_empty(), "{}", String::from_utf8_lossy(&read.stderr));
        assert!(String::from_utf8_lossy(&read.stdout).contains("EXIT STATUS"));
    }
}
