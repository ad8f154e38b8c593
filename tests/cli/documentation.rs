//! The documentation: relative links have targets, the book lists every chapter, and marked commands succeed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The mark on the line before a command block that the tests run.
const RUN_MARK: &str = "<!-- run -->";

/// Returns the paths of the documents, relative to the root of the repository. The tutorial precedes the
/// other chapters, which use its results.
fn documents() -> Vec<PathBuf> {
    let top = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "models/mini/README.md"];
    let mut documents: Vec<PathBuf> = top.iter().map(PathBuf::from).collect();
    let mut chapters: Vec<PathBuf> = fs::read_dir(Path::new(ROOT).join("docs"))
        .unwrap()
        .map(|entry| Path::new("docs").join(entry.unwrap().file_name()))
        .filter(|path| path.extension().is_some_and(|ending| ending == "md"))
        .collect();
    chapters.sort_by_key(|path| (!path.ends_with("tutorial.md"), path.clone()));
    documents.extend(chapters);
    documents
}

fn read(document: &Path) -> String {
    fs::read_to_string(Path::new(ROOT).join(document)).unwrap()
}

/// Returns the text of a document without its code blocks.
fn prose(text: &str) -> String {
    Regex::new(r"(?ms)^```.*?^```").unwrap().replace_all(text, "").into_owned()
}

/// Returns the targets of the Markdown links in `text` that are not web addresses.
fn relative_links(text: &str) -> Vec<String> {
    let link = Regex::new(r"\]\(([^)\s]+)\)|(?m)^\[[^\]]+\]: (\S+)$").unwrap();
    let targets = link.captures_iter(text).map(|found| {
        let target = found.get(1).or_else(|| found.get(2)).expect("neither alternative matched");
        target.as_str().to_owned()
    });
    targets.filter(|target| !target.starts_with("http")).collect()
}

/// Returns the anchors that GitHub and mdbook give to the headings of `text`.
fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text);
    let headings = headings.lines().filter_map(|line| line.strip_prefix('#'));
    let anchor = |heading: &str| {
        let plain = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = plain.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>()
    };
    headings.map(anchor).collect()
}

#[test]
fn every_relative_link_of_the_documentation_leads_to_a_file_and_its_heading() {
    let mut broken = Vec::new();
    let mut num_links = 0;
    for document in documents() {
        for link in relative_links(&prose(&read(&document))) {
            num_links += 1;
            let (path, anchor) =
                link.split_once('#').map_or((&*link, None), |(path, anchor)| (path, Some(anchor)));
            let target = match path {
                "" => document.clone(),
                path => document.parent().unwrap().join(path),
            };
            let exists = Path::new(ROOT).join(&target).exists();
            let is_heading = |anchor: &str| anchors(&read(&target)).iter().any(|heading| heading == anchor);
            if !exists || anchor.is_some_and(|anchor| !is_heading(anchor)) {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert!(num_links > 30, "only {num_links} links were found");
    assert!(broken.is_empty(), "broken links: {broken:#?}");
}

#[test]
fn every_chapter_is_listed_in_the_summary_of_the_book() {
    let listed = relative_links(&read(Path::new("docs/SUMMARY.md")));
    let chapters = documents().into_iter().filter(|path| path.starts_with("docs"));
    let names = chapters.map(|path| path.file_name().unwrap().to_string_lossy().into_owned());
    let missing: Vec<String> = names.filter(|name| name != "SUMMARY.md" && !listed.contains(name)).collect();
    assert!(missing.is_empty(), "not in docs/SUMMARY.md: {missing:?}");
}

/// Returns the command lines of the blocks after a [`RUN_MARK`], in order.
fn marked_commands(text: &str) -> Vec<String> {
    let block = Regex::new(&format!(r"(?ms)^{RUN_MARK}\n+```sh\n(.*?)^```")).unwrap();
    let blocks = block.captures_iter(text);
    blocks.flat_map(|found| found[1].lines().map(str::to_owned).collect::<Vec<_>>()).collect()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy_folder(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}

#[test]
fn every_command_that_the_documentation_marks_as_run_succeeds() {
    let clone = tempfile::tempdir().unwrap();
    for folder in ["experiments", "models", "schemas"] {
        copy_folder(&Path::new(ROOT).join(folder), &clone.path().join(folder));
    }
    let mut num_run = 0;
    for document in documents() {
        for line in marked_commands(&read(&document)) {
            let command = line.replace("cargo run --release --", env!("CARGO_BIN_EXE_dtr"));
            assert_ne!(command, line, "{}: `{line}` does not run the program", document.display());
            let mut shell = Command::new("sh");
            shell.args(["-c", &command]).current_dir(clone.path());
            // No command of the documentation may need the network.
            shell.env("HF_HUB_OFFLINE", "1").env("HF_HOME", clone.path().join("hub"));
            let output = shell.output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: `{line}` failed:\n{stderr}", document.display());
            num_run += 1;
        }
    }
    assert!(num_run >= 10, "only {num_run} commands were found");
}
