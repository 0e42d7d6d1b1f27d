//! A real Chromium, driven by `tests/cockpit/browser.mjs`: one command and one answer per line.

use std::{
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use thalweg_testkit::{Edge, skip};

const SOON: Duration = Duration::from_secs(20);

/// A browser with one page; ends when dropped.
pub struct Browser {
    process: Child,
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Browser {
    /// Starts one, or reports that this scenario is skipped and what is missing.
    pub fn start(scenario: &str) -> Option<Self> {
        let folder = root().join("tests/cockpit");
        let chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser"]
            .into_iter()
            .find(|path| Path::new(path).exists());
        let Some(chromium) = chromium else {
            skip(scenario, "no Chromium (apt-get install chromium)");
            return None;
        };
        if !folder.join("node_modules/playwright-core").exists() {
            skip(scenario, "no playwright-core (npm ci in tests/cockpit; needs nodejs and npm)");
            return None;
        }
        let mut process = Command::new("node")
            .arg(folder.join("browser.mjs"))
            .arg(chromium)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let (commands, answers) =
            (process.stdin.take().expect("stdin"), process.stdout.take().expect("stdout"));
        Some(Self { process, commands, answers: BufReader::new(answers) })
    }

    /// Gives a command and returns its answer.
    fn tell(&mut self, command: &Value) -> Value {
        writeln!(self.commands, "{command}").expect("the browser lives");
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("an answer");
        let answer: Value =
            serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {command} -> {line:?}"));
        assert_eq!(answer["error"], Value::Null, "{command}");
        answer["ok"].clone()
    }

    /// Opens the page of this edge in a window of this size, with this colour scheme.
    pub fn open(&mut self, edge: &Edge, (width, height): (u32, u32), scheme: &str) {
        let url = format!("{}/", edge.admin_url());
        self.tell(&json!({ "do": "open", "url": url, "width": width, "height": height, "scheme": scheme }));
    }

    /// The text of the first element that this selector names.
    pub fn text(&mut self, of: &str) -> String {
        self.tell(&json!({ "do": "text", "of": of })).as_str().unwrap_or_default().to_owned()
    }

    /// Waits until the element's text has all of these words; returns it.
    pub fn until(&mut self, of: &str, words: &[&str]) -> String {
        let began = Instant::now();
        loop {
            let text = self.text(of);
            if words.iter().all(|word| text.contains(word)) {
                return text;
            }
            assert!(began.elapsed() < SOON, "no {words:?} in {of}: {text}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The value of an expression in the page.
    pub fn eval(&mut self, js: &str) -> Value {
        self.tell(&json!({ "do": "eval", "js": js }))
    }

    /// Presses these keys one after the other.
    pub fn press(&mut self, keys: &[&str]) {
        for key in keys {
            self.tell(&json!({ "do": "press", "key": key }));
        }
    }

    /// Types this text.
    pub fn type_text(&mut self, text: &str) {
        self.tell(&json!({ "do": "type", "text": text }));
    }

    /// Keeps what the window shows: under `docs/cockpit` with `THALWEG_BLESS=1`, else in the target directory.
    pub fn shot(&mut self, name: &str) {
        let docs = std::env::var("THALWEG_BLESS").is_ok_and(|bless| bless == "1");
        let folder = root().join(if docs { "docs/cockpit" } else { "target/cockpit" });
        std::fs::create_dir_all(&folder).expect("a folder");
        self.tell(&json!({ "do": "shot", "path": folder.join(format!("{name}.png")) }));
    }

    /// Panics if axe-core finds a barrier, or if the page has reported an error.
    pub fn assert_sound(&mut self, what: &str) {
        let barriers = self.tell(&json!({ "do": "axe" }));
        assert_eq!(barriers, json!([]), "accessibility: {what}");
        let problems = self.tell(&json!({ "do": "problems" }));
        assert_eq!(problems, json!([]), "errors of the page: {what}");
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The driver and its Chromium end with the driver's stdin; the kill is for a driver that hangs.
        let _ = self.commands.write_all(b"");
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_owned()
}
