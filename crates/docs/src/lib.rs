#![doc = include_str!("../README.md")]

use std::path::{Path, PathBuf};

use testkit::repository;

/// A Markdown file of the repository.
#[derive(Clone, Debug)]
pub struct Document {
    /// Where it is, from the repository's top.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// A fenced block of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// The line of its first fence, from 1.
    pub line: usize,
    /// What stands behind the fence: a language, and perhaps what it needs.
    pub info: String,
    /// What is in it.
    pub text: String,
}

/// All documents, by path; what is built or not ours is left out.
///
/// # Panics
/// When a folder cannot be read.
pub fn documents() -> Vec<Document> {
    let mut found = Vec::new();
    collect(&repository(), &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn collect(folder: &Path, found: &mut Vec<Document>) {
    for entry in std::fs::read_dir(folder).expect("a folder of the repository can be read") {
        let path = entry.expect("its entries too").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            collect(&path, found);
        } else if name.ends_with(".md") {
            let text = std::fs::read_to_string(&path).expect("a document is text");
            found.push(Document { path: path.strip_prefix(repository()).unwrap_or(&path).to_owned(), text });
        }
    }
}

impl Document {
    /// Its fenced blocks.
    pub fn blocks(&self) -> Vec<Block> {
        let (mut blocks, mut open): (Vec<Block>, Option<Block>) = (Vec::new(), None);
        for (number, line) in self.text.lines().enumerate() {
            match (line.strip_prefix("```"), open.take()) {
                (Some(_), Some(block)) => blocks.push(block),
                (Some(info), None) => {
                    open = Some(Block { line: number + 1, info: info.trim().to_owned(), text: String::new() });
                }
                (None, Some(block)) => open = Some(Block { text: format!("{}{line}\n", block.text), ..block }),
                (None, None) => {}
            }
        }
        blocks
    }

    /// Its lines outside of fenced blocks, each with its number, from 1.
    pub fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut fenced = false;
        self.text.lines().enumerate().filter_map(move |(number, line)| {
            let fence = line.starts_with("```");
            fenced ^= fence;
            (!fence && !fenced).then_some((number + 1, line))
        })
    }
}
