//! The cheapest clock that is right: the processor's time-stamp counter, calibrated against the system's.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A raw reading; only differences mean anything, and only through [`Scale`].
#[inline]
pub(crate) fn now() -> u64 {
    if scale().counter {
        counter()
    } else {
        since_base()
    }
}

/// The same, once all that stands before it is done: a processor reads its counter as soon as it can, also while it still waits for
/// memory. Some nanoseconds dearer, and more where there is something to wait for.
#[inline]
pub(crate) fn fenced() -> u64 {
    fence();
    now()
}

fn since_base() -> u64 {
    static BASE: OnceLock<Instant> = OnceLock::new();
    u64::try_from(BASE.get_or_init(Instant::now).elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Turns cycles into nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scale {
    /// Nanoseconds a cycle, as a 32.32 fixed-point number.
    nanos_x32: u64,
    /// Whether the counter may be used; otherwise a cycle is a nanosecond of the system's clock.
    counter: bool,
}

impl Scale {
    #[inline]
    pub(crate) fn nanos(self, cycles: u64) -> u64 {
        ((u128::from(cycles) * u128::from(self.nanos_x32)) >> 32) as u64
    }

    /// Cycles in `nanos` nanoseconds.
    pub(crate) fn cycles(self, nanos: u64) -> u64 {
        ((u128::from(nanos) << 32) / u128::from(self.nanos_x32.max(1))) as u64
    }
}

/// The calibration, made at first use in about two milliseconds. Its error, some tens of parts in a million, does
/// not add up: workers anchor their clock to the system's every few milliseconds.
#[inline]
pub(crate) fn scale() -> Scale {
    static SCALE: OnceLock<Scale> = OnceLock::new();
    *SCALE.get_or_init(calibrate)
}

fn calibrate() -> Scale {
    let system = Scale {
        nanos_x32: 1 << 32,
        counter: false,
    };
    // Miri has no time-stamp counter.
    if cfg!(miri) || !counter_is_steady() {
        return system;
    }
    let (start, from) = both_clocks();
    let window = Duration::from_millis(2);
    while start.elapsed() < window {
        std::hint::spin_loop();
    }
    let (end, to) = both_clocks();
    match to.wrapping_sub(from) {
        0 => system,
        cycles => {
            let nanos_x32 = ((end - start).as_nanos() << 32) / u128::from(cycles);
            Scale {
                nanos_x32: nanos_x32 as u64,
                counter: true,
            }
        }
    }
}

/// Both clocks at the same moment: of some tries the one in which the least time passed between the readings, so that a
/// thread which loses the processor there does no harm.
fn both_clocks() -> (Instant, u64) {
    let readings = (0..16).map(|_| {
        let before = counter();
        let system = Instant::now();
        let after = counter();
        (
            after.wrapping_sub(before),
            system,
            before.wrapping_add(after.wrapping_sub(before) / 2),
        )
    });
    let (_, system, cycles) = readings
        .min_by_key(|&(apart, ..)| apart)
        .expect("there are 16");
    (system, cycles)
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn counter() -> u64 {
    // SAFETY: every x86-64 processor has it, and user space may read it on the systems that we support.
    unsafe { std::arch::x86_64::_rdtsc() }
}

#[cfg(target_arch = "x86_64")]
#[inline]
fn fence() {
    // SAFETY: every x86-64 processor has it.
    unsafe { std::arch::x86_64::_mm_lfence() };
}

#[cfg(target_arch = "x86_64")]
fn counter_is_steady() -> bool {
    use std::arch::x86_64::__cpuid;
    // Leaf 0x8000_0007, EDX bit 8: the counter runs at one rate in every power state.
    __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx & (1 << 8) != 0
}

#[cfg(target_arch = "aarch64")]
#[inline]
fn counter() -> u64 {
    let count: u64;
    // SAFETY: reads the virtual counter, which is readable in user space and steady by architecture.
    unsafe { std::arch::asm!("mrs {}, cntvct_el0", out(reg) count, options(nomem, nostack)) };
    count
}

#[cfg(target_arch = "aarch64")]
#[inline]
fn fence() {
    // SAFETY: what comes after it is fetched anew, which changes nothing.
    unsafe { std::arch::asm!("isb", options(nomem, nostack)) };
}

#[cfg(target_arch = "aarch64")]
fn counter_is_steady() -> bool {
    true
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn counter() -> u64 {
    0
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn fence() {}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn counter_is_steady() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_the_system_clock() {
        if !scale().counter {
            return;
        }
        let (start, from) = both_clocks();
        while start.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        let (end, to) = both_clocks();
        let (nanos, real) = (scale().nanos(to - from), (end - start).as_nanos() as u64);
        assert!(
            nanos.abs_diff(real) < real / 100,
            "{nanos} ns by the counter, {real} ns by the system"
        );
    }

    #[test]
    fn scales_both_ways() {
        let scale = scale();
        let cycles = scale.cycles(1_000_000_000);
        assert!(scale.nanos(cycles).abs_diff(1_000_000_000) < 1_000);
    }
}
