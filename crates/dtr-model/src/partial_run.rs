//! Hybrids of one base that go through the layers which they share together, each with rows of its own.

use burn::tensor::{Int, Tensor, TensorData};

use super::hybrid::Hybrid;
use super::prefix_tree::{PrefixTree, PrefixTreeStates};

/// A hybrid on its way from a layer on.
#[derive(Clone, Copy)]
pub struct PartialRun<'a> {
    /// The hybrid.
    pub hybrid: &'a Hybrid<'a>,
    /// The first layer that it goes through; the number of layers where it goes through none.
    pub first: usize,
}

/// Hidden states `[n, d]` after the last layer at `places` of all tokens of a tree under each of `siblings`, one after the
/// other. What follows the last mixing of tokens is run at these places alone.
///
/// The siblings stand in the order of their first layers, and `before` tells the hidden states before a layer. The tree at
/// index `n` holds `n + 1` copies of the first.
pub fn run_to(
    siblings: &[PartialRun<'_>],
    trees: &[PrefixTree],
    places: &[usize],
    before: impl Fn(usize) -> PrefixTreeStates + Send,
) -> Tensor<2> {
    let device = siblings[0].hybrid.device();
    dtr_ops::run_on_device_thread(&device, || Family { siblings, trees, places }.run(before))
}

struct Family<'a> {
    siblings: &'a [PartialRun<'a>],
    trees: &'a [PrefixTree],
    places: &'a [usize],
}

impl Family<'_> {
    fn run(&self, before: impl Fn(usize) -> PrefixTreeStates) -> Tensor<2> {
        let hybrid = self.siblings[0].hybrid;
        let num_layers = hybrid.num_layers();
        let mut outputs = Vec::new();
        let mut states: Vec<PrefixTreeStates> = Vec::new();
        let mut num_joined = 0;
        for layer in self.siblings[0].first..num_layers {
            let joining = self.siblings[num_joined..].iter().filter(|sibling| sibling.first == layer).count();
            states.extend((0..joining).map(|_| before(layer)));
            num_joined += joining;
            let together = PrefixTreeStates::side_by_side(states);
            let said = self.mix(layer, &together, num_joined);
            if layer + 1 == num_layers {
                let [x, said] = [together, said].map(|all| self.at_places(all, num_joined).unsqueeze::<3>());
                outputs.push(hybrid.feed(layer, x, said).squeeze_dim::<2>(0));
                break;
            }
            states = vec![hybrid.feed_all(layer, together, said)];
        }
        let idle = self.siblings[num_joined..].iter();
        outputs.extend(idle.map(|sibling| self.at_places(before(sibling.first), 1)));
        Tensor::cat(outputs, 0)
    }

    /// What the mixers of the first `times` siblings say; those that share theirs are asked together.
    fn mix(&self, layer: usize, states: &PrefixTreeStates, times: usize) -> PrefixTreeStates {
        let mut start = 0;
        let runs = self.siblings[..times].chunk_by(|one, other| one.hybrid.shares(layer, other.hybrid));
        let said = runs.map(|run| {
            let own = states.copies(start..start + run.len(), times);
            start += run.len();
            run[0].hybrid.mix(layer, own, &self.trees[run.len() - 1])
        });
        PrefixTreeStates::side_by_side(said.collect())
    }

    /// The states at the wanted places of each of `times` copies.
    fn at_places(&self, states: PrefixTreeStates, times: usize) -> Tensor<2> {
        let in_copy = |copy| {
            self.places.iter().map(move |&place| self.trees[0].place_in_copy(place, copy, times) as i32)
        };
        let places: Vec<i32> = (0..times).flat_map(in_copy).collect();
        let x_nd = states.flat();
        let size = places.len();
        let places_n = Tensor::<1, Int>::from_data(TensorData::new(places, [size]), &x_nd.device());
        x_nd.select(0, places_n)
    }
}
