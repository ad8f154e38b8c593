//! An endless stream of documents that can be entered at any index, so that training can resume.

use std::path::Path;
use std::sync::Mutex;

use rand::seq::SliceRandom;

use super::world::{WORLD_VERSION, World};
use crate::error::{Error, Result};
use crate::manifest::CorpusSource;
use crate::seed::Seed;

/// The order of a text file's documents in every epoch descends from this.
const SHUFFLE: Seed = Seed(0);

/// The documents of a corpus; document `i` is a pure function of the corpus and `i`.
pub struct Documents(Source);

enum Source {
    World { world: World, seed: Seed },
    Text(TextFile),
}

impl Documents {
    /// Opens a corpus; paths are relative to `base_dir`.
    ///
    /// # Errors
    /// When a text file cannot be read, or holds no document.
    pub fn open(source: &CorpusSource, base_dir: &Path) -> Result<Self> {
        Ok(Self(match source {
            CorpusSource::World(corpus) => {
                Source::World { world: World::new(corpus.world), seed: corpus.seed }
            }
            CorpusSource::Text(path) => Source::Text(TextFile::open(&base_dir.join(path))?),
        }))
    }

    /// The document at `index`, whatever was asked for before.
    pub fn get(&self, index: u64) -> String {
        match &self.0 {
            Source::World { world, seed } => world.document(*seed, index),
            Source::Text(file) => file.get(index),
        }
    }

    /// How many documents there are before they come again; none when they never do.
    pub fn count(&self) -> Option<u64> {
        match &self.0 {
            Source::World { .. } => None,
            Source::Text(file) => Some(file.documents.len() as u64),
        }
    }

    /// A digest, in hexadecimal, of all that decides the text.
    pub fn digest(&self) -> String {
        match &self.0 {
            Source::World { world, seed } => {
                let name = format!("world v{WORLD_VERSION}, world {}, corpus {}", world.seed().0, seed.0);
                blake3::hash(name.as_bytes()).to_hex().to_string()
            }
            Source::Text(file) => file.digest.clone(),
        }
    }
}

/// A text file's documents, cycled for ever, each epoch in an order of its own.
struct TextFile {
    documents: Vec<String>,
    digest: String,
    /// The epoch asked for last and its order, kept because neighbours are asked for in turn.
    order: Mutex<(u64, Vec<usize>)>,
}

impl TextFile {
    fn open(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|cause| Error::io("read", path, cause))?;
        let documents = split_documents(&text);
        if documents.is_empty() {
            return Err(Error::manifest(format!("`{}` holds no document", path.display()))
                .hint("a corpus file needs text; blank lines part its documents"));
        }
        let order = Mutex::new((0, epoch_order(0, documents.len())));
        Ok(Self { documents, digest: blake3::hash(text.as_bytes()).to_hex().to_string(), order })
    }

    fn get(&self, index: u64) -> String {
        let count = self.documents.len() as u64;
        let (epoch, place) = (index / count, (index % count) as usize);
        let mut order = self.order.lock().expect("nothing panics while it holds the order");
        if order.0 != epoch {
            *order = (epoch, epoch_order(epoch, self.documents.len()));
        }
        self.documents[order.1[place]].clone()
    }
}

/// Parts `text` at blank lines, and drops the blanks at the ends of each document.
fn split_documents(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for line in text.lines() {
        let last = documents.last_mut().expect("there is one from the start");
        if !line.trim().is_empty() {
            last.push_str(line);
            last.push('\n');
        } else if !last.is_empty() {
            documents.push(String::new());
        }
    }
    documents.iter().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()).collect()
}

fn epoch_order(epoch: u64, count: usize) -> Vec<usize> {
    let mut rng = SHUFFLE.child("data/text-order").rng();
    rng.set_stream(epoch);
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut rng);
    order
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::error::Kind;
    use crate::manifest::WorldCorpus;

    fn text_corpus(text: &str) -> Result<Documents> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("corpus.txt"), text).unwrap();
        Documents::open(&CorpusSource::Text("corpus.txt".into()), folder.path())
    }

    fn world_corpus(world: u32, seed: u32) -> Documents {
        let corpus = WorldCorpus { world: Seed(world), seed: Seed(seed) };
        Documents::open(&CorpusSource::World(corpus), Path::new(".")).unwrap()
    }

    #[test]
    fn blank_lines_part_documents_and_single_breaks_do_not() {
        let parts = split_documents("\n\r\none\ntwo\r\n \t\n\n  three\n\n");
        assert_eq!(parts, ["one\ntwo", "three"]);
    }

    #[test]
    fn every_epoch_holds_every_document_once_in_its_own_order() {
        let text: String = (0..40).map(|i| format!("document {i}\n\n")).collect();
        let documents = text_corpus(&text).unwrap();
        let epoch = |e: u64| (e * 40..(e + 1) * 40).map(|i| documents.get(i)).collect::<Vec<_>>();
        let (first, second) = (epoch(0), epoch(1));
        assert_ne!(first, second);
        for order in [&first, &second] {
            assert_eq!(order.iter().collect::<BTreeSet<_>>().len(), 40);
        }
        assert_eq!(epoch(0), first, "going back changes nothing");
    }

    #[test]
    fn a_file_without_text_or_without_a_file_is_refused() {
        assert_eq!(text_corpus(" \n\n").err().unwrap().kind(), Kind::Manifest);
        let missing = CorpusSource::Text("nowhere.txt".into());
        assert_eq!(Documents::open(&missing, Path::new("/")).err().unwrap().kind(), Kind::Environment);
    }

    #[test]
    fn a_digest_follows_whatever_decides_the_text() {
        let digests = [
            world_corpus(1, 2).digest(),
            world_corpus(2, 1).digest(),
            world_corpus(1, 3).digest(),
            text_corpus("one").unwrap().digest(),
            text_corpus("two").unwrap().digest(),
        ];
        assert_eq!(digests.iter().collect::<BTreeSet<_>>().len(), digests.len());
        assert_eq!(world_corpus(1, 2).digest(), digests[0]);
    }

    #[test]
    fn world_documents_do_not_depend_on_what_was_read_before() {
        let (forth, back) = (world_corpus(1, 2), world_corpus(1, 2));
        let texts: Vec<String> = (0..50).map(|i| forth.get(i)).collect();
        for i in (0..50).rev() {
            assert_eq!(back.get(i), texts[i as usize]);
        }
        assert_ne!(world_corpus(1, 3).get(0), texts[0]);
    }
}
