//! The columns of `agreement`.

use polars::prelude::Column;

use crate::report::schema::{ColumnSpec, Row, TableSpec, Value, tables};

tables! {
    /// One row per pair of searches of a base that differ in one thing: whether layers go linear in the same order. An order holds the
    /// layers of the last accepted hybrid, each at the round from which on it stayed replaced, and ends there: all layers that
    /// were not replaced tie at one place after the last. Strategies that look at no score (`uniform`, `random`) have the same order by
    /// construction and are compared only with other strategies.
    agreement of AgreementRow {
        /// Name of the base model.
        model: String => "",
        /// What the two searches differ in: `variant`, `task`, or the dotted key of a sweep axis such as
        /// `search.strategy`.
        between: String => "",
        /// Name of the linear variant; null where it is what differs.
        variant: Option<String> => "",
        /// Name of the task; null where it is what differs.
        task: Option<String> => "",
        /// Values of the further sweep axes that both share, as `key=value` joined by commas.
        shared_axes: String => "",
        /// The one variant, task or value of the axis.
        first: String => "",
        /// The other.
        second: String => "",
        /// Number of layers of the base.
        num_layers: u32 => "layers",
        /// Number of layers in the first order.
        num_replaced_first: u32 => "layers",
        /// Number of layers in the second order.
        num_replaced_second: u32 => "layers",
        /// Accepted rounds of the first search in which another layer's score equals the winner's, or may where it was
        /// dropped: there the lower layer won, which two searches agree on whatever their layers do.
        num_tied_first: u32 => "rounds",
        /// The same of the second search.
        num_tied_second: u32 => "rounds",
        /// Kendall's tau-b of the places of all layers of the base, which allows for the ties after an order's end; null
        /// where an order is empty.
        kendall_tau: Option<f64> => "",
        /// Probability of at least that tau-b by chance, one-sided: among the found order and 999 of the second
        /// search's with its layers shuffled and its ties kept, so never under 0.001.
        kendall_p: Option<f64> => "probability",
        /// `kendall_p` adjusted by Benjamini and Hochberg over all rows of this table with the same `between`.
        kendall_q: Option<f64> => "probability",
        /// Spearman's rho of the same places, where tied layers share their mean rank; null where an order is empty.
        spearman_rho: Option<f64> => "",
        /// Probability of at least that rho by chance, as for `kendall_p`.
        spearman_p: Option<f64> => "probability",
        /// `spearman_p` adjusted by Benjamini and Hochberg over all rows of this table with the same `between`.
        spearman_q: Option<f64> => "probability",
        /// Number of replaced layers at which the two hybrids are compared: half of the base's, rounded down, or as many
        /// as the shorter search accepted; complete sets of layers share all.
        overlap_k: u32 => "layers",
        /// Number of layers that the two hybrids of `overlap_k` replaced layers share.
        overlap: u32 => "layers",
        /// Number of layers that two random sets of `overlap_k` layers share on average: its square over `num_layers`.
        overlap_by_chance: f64 => "layers",
        /// Probability that two random sets of `overlap_k` layers share at least `overlap`, by the hypergeometric
        /// distribution; null where `overlap_k` is 0.
        overlap_p: Option<f64> => "probability",
        /// `overlap_p` adjusted by Benjamini and Hochberg over all rows of this table with the same `between`.
        overlap_q: Option<f64> => "probability",
        /// For each number k of replaced layers from 1 as far as both searches accepted, the share of the k layers of the
        /// two hybrids that is the same; by chance k over `num_layers`.
        overlap_shares: Vec<f64> => "fraction",
        /// Key of the first search's cell.
        key_first: String => "",
        /// Key of the second search's cell.
        key_second: String => "",
    }
}
