//! The loop of the engine's thread: it takes prompts from the queue, reads them and decodes them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;

use super::decoding_rows::DecodingRows;
use super::prefix_cache::PrefixCache;
use super::prompt_run::PromptRun;
use super::{EngineLimits, QueuedPrompt, SharedNumbers};
use dtr_model::generate::{PromptPass, max_tokens_per_pass};
use dtr_model::{DecoderState, Hybrid};

/// The work of the engine's thread.
pub struct Worker<'a> {
    model: &'a Hybrid<'a>,
    max_rows: usize,
    border: usize,
    queue: mpsc::Receiver<QueuedPrompt>,
    cache: PrefixCache,
    /// The prompts that are not completely read. The first of them came first.
    prompts: VecDeque<PromptRun>,
    rows: DecodingRows<'a>,
    numbers: Arc<SharedNumbers>,
}

impl<'a> Worker<'a> {
    /// Creates the worker of the prompts in `queue`, with a border of the prefix cache every `border` tokens.
    pub fn new(
        model: &'a Hybrid<'a>,
        limits: EngineLimits,
        border: usize,
        queue: mpsc::Receiver<QueuedPrompt>,
        numbers: Arc<SharedNumbers>,
    ) -> Self {
        Self {
            model,
            max_rows: limits.rows,
            border,
            queue,
            cache: PrefixCache::new(border, limits.prefix_cache_bytes),
            prompts: VecDeque::new(),
            rows: DecodingRows::new(model),
            numbers,
        }
    }

    /// Returns the number of bytes of the state at a border, from a run of the model.
    pub fn measure_snapshot(&self) -> u64 {
        let mut state = DecoderState::new(self.model.num_layers());
        PromptPass::next(self.model, &vec![0; self.border], &mut state);
        let bytes = state.num_bytes();
        bytes.cache + bytes.recurrent
    }

    /// Works until the queue is closed and all of its prompts have ended. Between two decoding steps, the
    /// worker runs at most one pass over prompts, so that a long prompt does not stop the other texts.
    pub fn run(&mut self) {
        while self.take_prompts() {
            self.read_prompts();
            self.rows.step(self.prompts.is_empty());
            self.rows.free_rows();
            self.report_numbers();
        }
    }

    fn report_numbers(&self) {
        let write = |number: &AtomicU64, value: u64| number.store(value, Ordering::Relaxed);
        write(&self.numbers.running_prompts, (self.prompts.len() + self.rows.num_used()) as u64);
        write(&self.numbers.new_tokens, self.rows.num_new_tokens());
        write(&self.numbers.prefix_cache_bytes, self.cache.num_bytes());
    }

    /// Takes prompts from the queue while rows are free. Waits if there is no work. Returns false if there is
    /// no work any more.
    fn take_prompts(&mut self) -> bool {
        self.prompts.retain(|run| !run.is_abandoned());
        loop {
            let num_running = self.prompts.len() + self.rows.num_used();
            let next = match num_running {
                0 => self.queue.blocking_recv(),
                _ if num_running < self.max_rows => self.queue.try_recv().ok(),
                _ => None,
            };
            match next {
                Some(queued) if queued.events.is_closed() => {}
                Some(queued) => self.prompts.push_back(PromptRun::new(queued)),
                None => return num_running > 0,
            }
        }
    }

    /// Runs one pass: over the first prompt, and over others that begin too. Prompts that are read get rows.
    fn read_prompts(&mut self) {
        let Some(first) = self.prompts.front_mut() else { return };
        first.restore(&mut self.cache);
        if first.is_new() {
            self.read_new_prompts();
        } else {
            first.run_pass(self.model, self.border, &mut self.cache);
        }
        let (read, unread) = self.prompts.drain(..).partition(PromptRun::is_read);
        self.prompts = unread;
        let read: VecDeque<PromptRun> = read;
        for run in read {
            self.numbers.prompt_tokens.fetch_add(run.len() as u64, Ordering::Relaxed);
            self.numbers.cached_tokens.fetch_add(run.cached_tokens() as u64, Ordering::Relaxed);
            self.rows.start(run);
        }
    }

    /// Runs one pass over the first tokens of as many new prompts as fit a pass. Prompts that can continue
    /// from the prefix cache wait for their turn.
    fn read_new_prompts(&mut self) {
        let max_tokens = max_tokens_per_pass(self.model);
        let (mut group, mut longest) = (Vec::new(), 0);
        for (at, run) in self.prompts.iter_mut().enumerate() {
            if run.is_new() && at > 0 {
                run.restore(&mut self.cache);
            }
            let num_tokens = run.next_tokens(self.border).len().max(longest);
            if run.is_new() && (group.is_empty() || (group.len() + 1) * num_tokens <= max_tokens) {
                (longest, _) = (num_tokens, group.push(at));
            }
        }
        let tokens: Vec<Vec<u32>> =
            group.iter().map(|&at| self.prompts[at].next_tokens(self.border).to_vec()).collect();
        let slices: Vec<&[u32]> = tokens.iter().map(Vec::as_slice).collect();
        let (pass, states) = PromptPass::first(self.model, &slices);
        for (row, (at, state)) in group.into_iter().zip(states).enumerate() {
            let num_tokens = tokens[row].len();
            self.prompts[at].finish_pass(self.model, (&pass, row), num_tokens, state, &mut self.cache);
        }
    }
}
