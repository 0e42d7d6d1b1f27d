//! What is asked of an upgrade, read strictly, and why it is refused. Starts nothing.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use crate::control::audit::reason;

/// Longest wait for a successor unless the caller says more.
const WITHIN: Duration = Duration::from_secs(60);
/// Longest wait that can be asked for.
const LONGEST: Duration = Duration::from_secs(3600);

/// An upgrade as asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpgradeCall {
    /// The binary; `None` = the one at the path of this process's own.
    pub binary: Option<PathBuf>,
    /// Longest time until the successor is ready.
    pub within: Duration,
    /// The reason, for the record.
    pub reason: String,
}

/// Why no successor is started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpgradeRefusal {
    /// An upgrade runs already.
    UnderWay,
    /// A config is on trial: the successor would take it for one that ended with a crash.
    TrialRuns,
    /// After a rollback the files are set aside, and without a `state_dir` the successor would not know.
    SetAside,
    /// The edge is ending.
    Ending,
    /// The first probe round of this process itself has not ended.
    NotReady,
    /// This is process 1: a container ends with it.
    FirstProcess,
    /// The path of this process's own binary is not known.
    NoBinary,
    /// The binary cannot be used.
    Binary(String),
}

impl UpgradeRefusal {
    /// The spelling in answers and events.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::UnderWay => "upgrade_runs",
            Self::TrialRuns => "trial_runs",
            Self::SetAside => "set_aside",
            Self::Ending => "shutting_down",
            Self::NotReady => "starting",
            Self::FirstProcess => "first_process",
            Self::NoBinary => "no_binary",
            Self::Binary(_) => "binary",
        }
    }

    /// The same for people.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            Self::UnderWay => "an upgrade is under way".into(),
            Self::TrialRuns => "a config is on trial: confirm it or roll it back first".into(),
            Self::SetAside => {
                "after the rollback the config's files are set aside, and without edge.state_dir a new process would \
                 begin with them: put the files right and reload first"
                    .into()
            }
            Self::Ending => "the edge is ending".into(),
            Self::NotReady => "the first probe round has not ended".into(),
            Self::FirstProcess => {
                "this is process 1, and a container ends with its process 1: replace the container".into()
            }
            Self::NoBinary => "the path of this binary is not known: name one".into(),
            Self::Binary(problem) => problem.clone(),
        }
    }
}

impl UpgradeCall {
    /// Reads a request's body.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let mut call = Self { binary: None, within: WITHIN, reason: String::new() };
        if body.trim_ascii().is_empty() {
            return Ok(call);
        }
        let Ok(Value::Object(fields)) = serde_json::from_slice(body) else {
            return Err("the body is no JSON object".into());
        };
        for (name, value) in &fields {
            let text = || value.as_str().ok_or_else(|| format!("`{name}` is no text"));
            match name.as_str() {
                _ if value.is_null() => {}
                "binary" => call.binary = Some(PathBuf::from(text()?)),
                "within" => {
                    let within = thalweg_config::duration(text()?);
                    call.within = within.map_err(|problem| format!("`within` {problem}"))?;
                }
                "reason" => call.reason = reason(text()?)?.to_owned(),
                _ => {
                    let name: String = name.chars().take(50).collect();
                    return Err(format!(
                        "the body has an unknown field {name:?}: known are binary, within, reason"
                    ));
                }
            }
        }
        if !(Duration::from_secs(1)..=LONGEST).contains(&call.within) {
            return Err("`within` is not from 1s to 1h".into());
        }
        if call.binary.as_ref().is_some_and(|path| !path.is_absolute()) {
            return Err("`binary` is no absolute path".into());
        }
        Ok(call)
    }
}

/// Checks that this process may hand its sockets to the binary: an executable file that belongs to root or to the user of
/// this process, and that no one else can write.
///
/// # Errors
/// Why not.
pub fn check_binary(path: &Path) -> Result<(), UpgradeRefusal> {
    let problem = |problem: String| UpgradeRefusal::Binary(format!("{}: {problem}", path.display()));
    let file = std::fs::metadata(path).map_err(|error| problem(error.to_string()))?;
    let (mode, owner) = (file.permissions().mode(), file.uid());
    if !file.is_file() {
        return Err(problem("is no file".into()));
    }
    if mode & 0o111 == 0 {
        return Err(problem("is not executable".into()));
    }
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(problem("belongs to another user".into()));
    }
    if mode & 0o002 != 0 {
        return Err(problem("can be written by everyone".into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use thalweg_testkit::Scratch;

    use super::*;

    #[test]
    fn an_upgrade_is_read_strictly() {
        let read = |text: &str| UpgradeCall::read(text.as_bytes());
        let usual = UpgradeCall { binary: None, within: WITHIN, reason: String::new() };
        for text in ["", " \n", "{}", "{\"binary\":null}"] {
            assert_eq!(read(text), Ok(usual.clone()), "{text}");
        }
        let all = read(r#"{"binary":"/opt/t","within":"2m","reason":" new "}"#);
        let wanted = UpgradeCall {
            binary: Some("/opt/t".into()),
            within: Duration::from_secs(120),
            reason: "new".into(),
        };
        assert_eq!(all, Ok(wanted));
        for (text, problem) in [
            ("[]", "no JSON object"),
            ("{\"path\":1}", "unknown field \"path\""),
            ("{\"binary\":1}", "`binary` is no text"),
            ("{\"binary\":\"thalweg\"}", "no absolute path"),
            ("{\"within\":\"10ms\"}", "not from 1s to 1h"),
            ("{\"within\":\"2h\"}", "not from 1s to 1h"),
            ("{\"within\":\"soon\"}", "`within` "),
            ("{\"reason\":\"a\\nb\"}", "control character"),
        ] {
            let said = read(text).unwrap_err();
            assert!(said.contains(problem), "{text}: {said}");
        }
    }

    #[test]
    fn a_binary_that_others_could_have_written_is_refused() {
        let scratch = Scratch::new();
        let path = scratch.write("thalweg", "");
        let check = |mode: u32, expected: Option<&str>| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let said = check_binary(&path).err().map(|refused| refused.detail());
            assert_eq!(said.is_some(), expected.is_some(), "{mode:o}: {said:?}");
            assert!(said.unwrap_or_default().contains(expected.unwrap_or_default()), "{mode:o}");
        };
        check(0o755, None);
        check(0o644, Some("not executable"));
        check(0o757, Some("can be written by everyone"));
        assert!(check_binary(scratch.path()).is_err(), "a folder");
        assert!(check_binary(&scratch.join("missing")).is_err());
    }
}
