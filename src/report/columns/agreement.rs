//! The columns of the table `agreement`.

use polars::prelude::Column;

use crate::report::schema::{ColumnSpec, ColumnValue, TableRow, TableSpec, tables};

tables! {
    /// One row per pair of searches that have the same base and differ in one setting. The row compares the
    /// orders in which the two searches replaced layers. The rank of a layer is the round from which on every
    /// accepted hybrid replaces the layer. All layers that the last accepted hybrid does not replace share
    /// one rank, after the last round. If several candidates have the highest score, the candidate with the
    /// lowest layer wins, so ties make the two orders more similar. The strategies `uniform` and `random` do
    /// not use scores. Two searches by these strategies are compared only if their strategies differ.
    agreement: AgreementRow {
        /// Name of the base model in the manifest.
        model: String => "",
        /// Setting in which the two searches differ: `variant`, `task`, or the dotted key of a sweep axis
        /// such as `search.strategy`.
        differing_setting: String => "",
        /// Name of the linear variant in the manifest; null if the searches differ in the variant.
        variant: Option<String> => "",
        /// Name of the task in the manifest; null if the searches differ in the task.
        task: Option<String> => "",
        /// Values of the sweep axes other than `differing_setting`, which the two searches share, as
        /// `key=value`, joined by commas; empty if there is no such axis.
        shared_axes: String => "",
        /// Value of `differing_setting` in the first search.
        first: String => "",
        /// Value of `differing_setting` in the second search.
        second: String => "",
        /// Number of layers of the base.
        num_layers: u32 => "layers",
        /// Number of layers that the first search replaces.
        num_replaced_first: u32 => "layers",
        /// Number of layers that the second search replaces.
        num_replaced_second: u32 => "layers",
        /// Number of accepted rounds of the first search in which another candidate has the winner's score,
        /// or may have this score because the candidate was pruned.
        num_tied_first: u32 => "rounds",
        /// Number of accepted rounds of the second search in which another candidate has the winner's score,
        /// or may have this score because the candidate was pruned.
        num_tied_second: u32 => "rounds",
        /// Kendall's tau-b of the ranks of all layers, from -1 to 1; null if a search replaces no layer.
        kendall_tau: Option<f64> => "",
        /// One-sided p-value of `kendall_tau` by 999 random permutations of the layers of the second search,
        /// at least 0.001; null if `kendall_tau` is null.
        kendall_p: Option<f64> => "probability",
        /// `kendall_p` corrected by the Benjamini-Hochberg procedure over all rows of this table with the
        /// same `differing_setting`; null if `kendall_tau` is null.
        kendall_q: Option<f64> => "probability",
        /// Spearman's rho of the ranks of all layers, from -1 to 1; null if a search replaces no layer.
        spearman_rho: Option<f64> => "",
        /// One-sided p-value of `spearman_rho` by 999 random permutations of the layers of the second search,
        /// at least 0.001; null if `spearman_rho` is null.
        spearman_p: Option<f64> => "probability",
        /// `spearman_p` corrected by the Benjamini-Hochberg procedure over all rows of this table with the
        /// same `differing_setting`; null if `spearman_rho` is null.
        spearman_q: Option<f64> => "probability",
        /// Number k of replaced layers at which the hybrids of the two searches are compared: half of
        /// `num_layers`, or the number of accepted rounds of the shorter search if this number is lower.
        overlap_k: u32 => "layers",
        /// Number of layers, out of `overlap_k`, that the compared hybrids of the two searches share.
        overlap: u32 => "layers",
        /// Expected overlap of two random sets of `overlap_k` layers: `overlap_k` squared over `num_layers`.
        overlap_by_chance: f64 => "layers",
        /// Probability that two random sets of `overlap_k` layers share at least `overlap` layers, by the
        /// hypergeometric distribution; null if `overlap_k` is 0.
        overlap_p: Option<f64> => "probability",
        /// `overlap_p` corrected by the Benjamini-Hochberg procedure over all rows of this table with the
        /// same `differing_setting`; null if `overlap_k` is 0.
        overlap_q: Option<f64> => "probability",
        /// Fraction of the k replaced layers that the hybrids of the two searches share, for each k from 1 to
        /// the number of accepted rounds of the shorter search; the expected fraction for two random sets is
        /// k over `num_layers`.
        overlap_shares: Vec<f64> => "fraction",
        /// Key of the first search's cell.
        cell_key_first: String => "",
        /// Key of the second search's cell.
        cell_key_second: String => "",
    }
}
