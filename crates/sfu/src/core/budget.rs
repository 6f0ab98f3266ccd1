//! Receivers that may be sent only so much: which layers of which pictures they get.

use types::TrackId;

use super::layer::MAX_LAYERS;

/// A receiver is given more again only when that leaves a tenth free: rates swing, and a picture that
/// changes its size each second is worse than a small one.
const FREE: u64 = 10;

/// What a receiver's bandwidth leaves for one picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Allowance {
    /// As much as it wants.
    #[default]
    All,
    /// Layers up to this one.
    UpTo(u8),
    /// No picture at all.
    Nothing,
}

/// A picture that a receiver would like to get.
#[derive(Clone, Copy, Debug)]
pub struct Picture {
    pub track: TrackId,
    /// Bits a second of each layer; `None` where it sends nothing.
    pub rates: [Option<u64>; MAX_LAYERS],
    /// The layer that it would get.
    pub wanted: u8,
    /// What it was left last.
    pub allowance: Allowance,
}

impl Picture {
    /// Layers that there are, up to the one that is wanted.
    fn layers(&self) -> impl DoubleEndedIterator<Item = (u8, u64)> {
        let rates = self.rates.iter().zip(0_u8..=self.wanted);
        rates.filter_map(|(rate, index)| Some((index, (*rate)?)))
    }

    /// The highest layer that an allowance leaves, and its rate.
    fn layer(&self, allowance: Allowance) -> Option<(u8, u64)> {
        match allowance {
            Allowance::All => self.layers().next_back(),
            Allowance::UpTo(most) => self.layers().rfind(|it| it.0 <= most),
            Allowance::Nothing => None,
        }
    }

    fn rate(&self, allowance: Allowance) -> u64 {
        self.layer(allowance).map_or(0, |it| it.1)
    }

    /// The next smaller allowance.
    fn less(&self, allowance: Allowance) -> Allowance {
        let below = self.layer(allowance).and_then(|(layer, _)| layer.checked_sub(1));
        let next = below.and_then(|below| self.layers().rfind(|it| it.0 <= below));
        next.map_or(Allowance::Nothing, |it| Allowance::UpTo(it.0))
    }
}

/// What fits into so many bits a second, for each picture.
///
/// Large pictures become smaller before small ones do, and before anybody gets none; of those that
/// cannot become smaller the largest go first, and of equals the last.
pub fn share(pictures: &[Picture], bits: u64) -> Vec<Allowance> {
    let now: Vec<Allowance> = pictures.iter().map(|it| it.allowance).collect();
    let more = fit(pictures, bits - bits / FREE);
    let cost = |allowances: &[Allowance]| -> u64 {
        pictures.iter().zip(allowances).map(|(it, allowance)| it.rate(*allowance)).sum()
    };
    if cost(&now) > bits {
        fit(pictures, bits)
    } else if cost(&more) > cost(&now) || more.iter().all(|it| *it == Allowance::All) {
        more
    } else {
        now
    }
}

fn fit(pictures: &[Picture], bits: u64) -> Vec<Allowance> {
    let mut allowances = vec![Allowance::All; pictures.len()];
    loop {
        let costs = || pictures.iter().zip(&allowances).map(|(it, allowance)| it.layer(*allowance));
        let total: u64 = costs().flatten().map(|it| it.1).sum();
        if total <= bits {
            return allowances;
        }
        // Those that can become smaller before those that cannot; of equals the last one gives way.
        let less = pictures.iter().zip(&allowances).map(|(it, allowance)| it.less(*allowance));
        let steps = costs().zip(less).enumerate();
        let steps = steps
            .filter_map(|(at, (cost, less))| Some(((less != Allowance::Nothing, cost?, at), less)));
        let Some(((_, _, at), less)) = steps.max_by_key(|it| it.0) else { return allowances };
        if let Some(allowance) = allowances.get_mut(at) {
            *allowance = less;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Allowance::{All, Nothing, UpTo};
    use super::*;

    fn picture(track: u64, rates: [u64; 3]) -> Picture {
        let rates = rates.map(|rate| (rate > 0).then_some(rate * 1000));
        Picture { track: TrackId(track), rates, wanted: 2, allowance: All }
    }

    fn shared(pictures: &[Picture], kilobits: u64) -> Vec<Allowance> {
        share(pictures, kilobits * 1000)
    }

    #[test]
    fn large_pictures_become_smaller_before_anybody_gets_none() {
        let camera = [100, 300, 1000];
        let two = [picture(1, camera), picture(2, camera)];
        assert_eq!(shared(&two, 2500), [All, All]);
        assert_eq!(shared(&two, 1500), [All, UpTo(1)]);
        assert_eq!(shared(&two, 700), [UpTo(1), UpTo(1)]);
        assert_eq!(shared(&two, 500), [UpTo(1), UpTo(0)]);
        assert_eq!(shared(&two, 210), [UpTo(0), UpTo(0)]);
        assert_eq!(shared(&two, 150), [UpTo(0), Nothing]);
        assert_eq!(shared(&two, 50), [Nothing, Nothing]);
    }

    #[test]
    fn layers_that_send_nothing_are_passed_over() {
        let screen = picture(1, [0, 0, 900]);
        assert_eq!(shared(&[screen], 1000), [All]);
        assert_eq!(shared(&[screen], 800), [Nothing]);
        let camera = picture(2, [100, 300, 1000]);
        assert_eq!(shared(&[camera, screen], 1050), [UpTo(0), All], "a screen cannot be smaller");
        let gap = picture(1, [100, 0, 900]);
        assert_eq!(shared(&[gap], 800), [UpTo(0)]);
        let small = Picture { wanted: 0, ..picture(1, [100, 300, 1000]) };
        assert_eq!(shared(&[small], 200), [All], "nobody pays for what is not wanted");
    }

    #[test]
    fn more_is_given_again_only_where_a_tenth_stays_free() {
        let allowed = |allowance, rates| Picture { allowance, ..picture(1, rates) };
        assert_eq!(shared(&[allowed(UpTo(1), [100, 300, 950])], 1000), [UpTo(1)]);
        assert_eq!(shared(&[allowed(UpTo(1), [100, 300, 890])], 1000), [All]);
        assert_eq!(shared(&[allowed(All, [100, 300, 990])], 1000), [All], "what fits stays");
        assert_eq!(shared(&[allowed(All, [100, 300, 1010])], 1000), [UpTo(1)]);
        assert_eq!(shared(&[allowed(Nothing, [100, 0, 0])], 105), [Nothing]);
        assert_eq!(shared(&[allowed(Nothing, [90, 0, 0])], 105), [All]);
    }
}
