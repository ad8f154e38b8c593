//! The prefix cache: states of the model at fixed borders of prompts.
//!
//! Borders lie at multiples of a fixed number of tokens, counted from the beginning of a prompt. An entry
//! holds the recurrent states at its border, and the keys and values of the tokens since the border before.
//! Every prompt is read in passes that end at the borders, with or without the cache. Therefore a prompt that
//! continues from an entry has the same bits as a prompt that does not.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use dtr_model::DecoderState;

/// The id of the border at the beginning of every prompt.
const ROOT: u64 = 0;

/// The border before an entry, and the tokens from there to the entry's border.
type Key = (u64, Arc<[u32]>);

/// States at borders, the least recently used of which are dropped first.
pub struct PrefixCache {
    border: usize,
    max_bytes: u64,
    num_bytes: u64,
    entries: HashMap<Key, Entry>,
    by_use: BTreeMap<u64, Key>,
    num_uses: u64,
    last_id: u64,
}

struct Entry {
    id: u64,
    state: Arc<DecoderState>,
    num_bytes: u64,
    last_use: u64,
}

impl PrefixCache {
    /// Creates an empty cache with a border every `border` tokens.
    pub fn new(border: usize, max_bytes: u64) -> Self {
        Self {
            border,
            max_bytes,
            num_bytes: 0,
            entries: HashMap::new(),
            by_use: BTreeMap::new(),
            num_uses: 0,
            last_id: ROOT,
        }
    }

    /// Returns the states of the longest stored prefix of `prompt` that leaves at least one token, in order.
    pub fn lookup(&mut self, prompt: &[u32]) -> Vec<Arc<DecoderState>> {
        let (mut id, mut keys, mut states) = (ROOT, Vec::new(), Vec::new());
        for part in prompt[..prompt.len().saturating_sub(1)].chunks_exact(self.border) {
            let key = (id, Arc::from(part));
            let Some(entry) = self.entries.get(&key) else { break };
            id = entry.id;
            states.push(Arc::clone(&entry.state));
            keys.push(key);
        }
        // An entry is dropped before the entries that it continues, which would be useless otherwise.
        keys.into_iter().rev().for_each(|key| self.touch(&key));
        states
    }

    /// Stores the state at the end of `prefix` if its length is a multiple of the border. `copy_state`
    /// returns the copy of the state, and is not called if the cache has the state or cannot hold it.
    pub fn insert_at_border(&mut self, prefix: &[u32], copy_state: impl FnOnce() -> DecoderState) {
        if !prefix.len().is_multiple_of(self.border) {
            return;
        }
        let parts: Vec<&[u32]> = prefix.chunks_exact(self.border).collect();
        let Some((last, parents)) = parts.split_last() else { return };
        let mut id = ROOT;
        for part in parents {
            match self.entries.get(&(id, Arc::from(*part))) {
                Some(entry) => id = entry.id,
                None => return,
            }
        }
        let key: Key = (id, Arc::from(*last));
        if self.max_bytes == 0 || self.entries.contains_key(&key) {
            return;
        }
        let state = copy_state();
        let bytes = state.num_bytes();
        let num_bytes = bytes.cache + bytes.recurrent + size_of_val(*last) as u64;
        self.num_bytes += num_bytes;
        self.last_id += 1;
        let entry = Entry { id: self.last_id, state: Arc::new(state), num_bytes, last_use: 0 };
        self.entries.insert(key.clone(), entry);
        self.touch(&key);
        self.drop_least_recently_used();
    }

    /// Returns the number of bytes of all entries.
    pub fn num_bytes(&self) -> u64 {
        self.num_bytes
    }

    fn touch(&mut self, key: &Key) {
        let entry = self.entries.get_mut(key).expect("a used entry is in the cache");
        self.by_use.remove(&entry.last_use);
        self.num_uses += 1;
        entry.last_use = self.num_uses;
        self.by_use.insert(self.num_uses, key.clone());
    }

    fn drop_least_recently_used(&mut self) {
        while self.num_bytes > self.max_bytes {
            let Some((_, key)) = self.by_use.pop_first() else { return };
            let entry = self.entries.remove(&key).expect("a listed entry is in the cache");
            self.num_bytes -= entry.num_bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> DecoderState {
        DecoderState::new(0)
    }

    #[test]
    fn a_lookup_finds_the_longest_prefix_that_leaves_a_token() {
        let mut cache = PrefixCache::new(2, 1000);
        cache.insert_at_border(&[1, 2], state);
        cache.insert_at_border(&[1, 2, 3, 4], state);
        let mut found = |prompt: &[u32]| cache.lookup(prompt).len();
        assert_eq!(found(&[1, 2, 3, 4, 5]), 2);
        assert_eq!(found(&[1, 2, 3, 4]), 1, "the last token must be left");
        assert_eq!(found(&[1, 2, 3, 5, 6]), 1);
        assert_eq!(found(&[2, 1, 3]), 0);
        assert_eq!(found(&[]), 0);
        assert_eq!(found(&[3, 4, 5]), 0, "tokens are stored for one place only");
    }

    #[test]
    fn the_least_recently_used_entries_are_dropped_first() {
        // An entry of two tokens and no layers has 8 bytes.
        let mut cache = PrefixCache::new(2, 24);
        for prefix in [&[1, 2][..], &[1, 2, 3, 4], &[5, 6]] {
            cache.insert_at_border(prefix, state);
        }
        assert_eq!(cache.num_bytes(), 24);
        assert_eq!(cache.lookup(&[1, 2, 3, 4, 0]).len(), 2);
        cache.insert_at_border(&[7, 8], state);
        assert_eq!((cache.num_bytes(), cache.lookup(&[5, 6, 0]).len()), (24, 0));
        cache.insert_at_border(&[9, 9], state);
        assert_eq!(cache.lookup(&[1, 2, 3, 4, 0]).len(), 1, "the longer prefix goes before the shorter one");
        cache.insert_at_border(&[4, 4, 4, 4], || panic!("a state whose parent is missing cannot be found"));
        PrefixCache::new(2, 0).insert_at_border(&[1, 2], || panic!("the cache is off"));
    }
}
