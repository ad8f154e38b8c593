//! Piecewise cubic functions of a distance: lane widths, lane offsets and elevations.

/// A cubic of the distance from its own start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cubic {
    /// Where the cubic begins to hold, in metres.
    pub s: f64,
    /// Coefficients by ascending power of the distance from `s`.
    pub coefficients: [f64; 4],
}

impl Cubic {
    /// The value at a distance in metres from the start.
    pub fn value(&self, distance: f64) -> f64 {
        let [a, b, c, d] = self.coefficients;
        a + distance * (b + distance * (c + distance * d))
    }

    /// The derivative at a distance in metres from the start.
    pub fn slope(&self, distance: f64) -> f64 {
        let [_, b, c, d] = self.coefficients;
        b + distance * (2.0 * c + distance * 3.0 * d)
    }

    /// The same function, written from another start.
    #[must_use]
    pub fn moved_to(&self, s: f64) -> Self {
        let [_, _, c, d] = self.coefficients;
        let h = s - self.s;
        Self { s, coefficients: [self.value(h), self.slope(h), c + 3.0 * d * h, d] }
    }

    /// The cubic with these values and slopes at both ends of a length (Hermite form).
    pub fn hermite(s: f64, length: f64, values: [f64; 2], slopes: [f64; 2]) -> Self {
        let rise = (values[1] - values[0]) / length;
        let c = (3.0 * rise - 2.0 * slopes[0] - slopes[1]) / length;
        let d = (slopes[0] + slopes[1] - 2.0 * rise) / (length * length);
        Self { s, coefficients: [values[0], slopes[0], c, d] }
    }
}

/// A piecewise cubic function. Each cubic holds until the next one begins, and the last one for ever.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Profile {
    /// The cubics, by ascending start.
    pub pieces: Vec<Cubic>,
}

impl Profile {
    /// A function with one value everywhere.
    pub fn constant(value: f64) -> Self {
        Self { pieces: vec![Cubic { s: 0.0, coefficients: [value, 0.0, 0.0, 0.0] }] }
    }

    /// The piece that holds at `s`. Before the first piece, the first piece holds.
    pub fn piece(&self, s: f64) -> Option<&Cubic> {
        let after = self.pieces.partition_point(|piece| piece.s <= s);
        self.pieces.get(after.saturating_sub(1))
    }

    /// The value at `s`; 0 if there is no piece.
    pub fn value(&self, s: f64) -> f64 {
        self.piece(s).map_or(0.0, |piece| piece.value(s - piece.s))
    }

    /// The limit of the value from the left of `s`.
    pub fn value_before(&self, s: f64) -> f64 {
        let before = self.pieces.partition_point(|piece| piece.s < s);
        self.pieces.get(before.saturating_sub(1)).map_or(0.0, |piece| piece.value(s - piece.s))
    }

    /// The function with every value multiplied by `factor`.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let scale =
            |piece: &Cubic| Cubic { s: piece.s, coefficients: piece.coefficients.map(|c| c * factor) };
        Self { pieces: self.pieces.iter().map(scale).collect() }
    }

    /// The function on `0..length` read from its end.
    #[must_use]
    pub fn reversed(&self, length: f64) -> Self {
        let mut pieces = Vec::with_capacity(self.pieces.len());
        for (index, piece) in self.pieces.iter().enumerate() {
            let end = self.pieces.get(index + 1).map_or(length, |next| next.s).min(length);
            if end < piece.s || (end == piece.s && self.pieces.len() > 1) {
                continue;
            }
            let [a, b, c, d] = piece.moved_to(end).coefficients;
            pieces.push(Cubic { s: length - end, coefficients: [a, -b, c, -d] });
        }
        pieces.reverse();
        Self { pieces }
    }

    /// The sum of `self` and `factor` times `other`.
    #[must_use]
    pub fn plus(&self, other: &Self, factor: f64) -> Self {
        let mut starts: Vec<f64> = self.pieces.iter().chain(&other.pieces).map(|piece| piece.s).collect();
        starts.sort_by(f64::total_cmp);
        starts.dedup();
        let at = |profile: &Self, s: f64| {
            profile.piece(s).map_or([0.0; 4], |piece| piece.moved_to(s).coefficients)
        };
        let add = |s: f64| {
            let (left, right) = (at(self, s), at(other, s));
            Cubic { s, coefficients: std::array::from_fn(|i| left[i] + factor * right[i]) }
        };
        Self { pieces: starts.into_iter().map(add).collect() }
    }
}
