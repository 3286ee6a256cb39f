//! The hash of a run: equal for equal traces, on every machine.

use crate::oracle::property::Property;
use crate::oracle::verdict::Verdict;

/// Returns the hash of all steps of a run, and of the violated property.
#[must_use]
pub fn digest(verdict: &Verdict) -> u64 {
    let mut digest = Digest::default();
    for line in &verdict.trace {
        digest = digest
            .with(&line.at.as_nanos().to_le_bytes())
            .with(&line.event.to_bytes())
            .with(&line.step.state.to_bytes());
        line.step.for_each(|action| digest = digest.with(&[action_byte(action)]));
    }
    digest.with(verdict.violated().map_or("", Property::name).as_bytes()).0
}

const fn action_byte(action: monitor_core::Action) -> u8 {
    use monitor_core::Action;
    match action {
        Action::Persist(_) => 0,
        Action::Spawn { .. } => 1,
        Action::Signal { signal, .. } => 64 + signal.number(),
        Action::Release { .. } => 2,
        Action::Disarm { .. } => 3,
        Action::Arm { .. } => 4,
        Action::Shorten { .. } => 5,
        Action::Emit(_) => 6,
        Action::Lengthen { .. } => 7,
        Action::CancelSpawn { .. } => 8,
        Action::Abandon { .. } => 9,
        Action::AwaitReady { .. } => 10,
        Action::BeginService { .. } => 11,
        Action::EndService { .. } => 12,
    }
}

/// FNV-1a, 64 bits, finished by [`mix`]: the same on every machine and in every release.
#[derive(Clone, Copy, Debug)]
pub(super) struct Digest(pub(super) u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Digest {
    pub(super) fn with(self, bytes: &[u8]) -> Self {
        let step =
            |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        Self(bytes.iter().fold(self.0, step))
    }
}

/// The finaliser of `SplitMix64`: spreads every bit over all of them.
pub(super) const fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}
