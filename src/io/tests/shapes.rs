use std::io::{IoSlice, IoSliceMut, Read};

use proptest::prelude::*;

use crate::io::pipe;
use crate::net::UnixStream;
use crate::net::tests::connected;
use crate::{net::TcpStream, spawn, testing, yield_now};

/// Lengths of the slices of one call; some are empty, some longer than a socket takes at once.
fn shape() -> impl Strategy<Value = Vec<usize>> {
    let length = prop_oneof![Just(0), 1..20_usize, 1_000..9_000_usize, Just(300_000)];
    prop::collection::vec(length, 0..12)
}

/// Reads in pieces of the given shapes, over and over, until the end.
fn read_all(mut from: impl Read, shapes: &[Vec<usize>], yields: bool) -> Vec<u8> {
    let mut heard = Vec::new();
    // A shape without room would look like the end.
    let roomy = shapes
        .iter()
        .filter(|shape| shape.iter().sum::<usize>() > 0);
    let whole = vec![vec![4_096]];
    let roomy: Vec<_> = roomy.chain(&whole).collect();
    for shape in roomy.iter().cycle() {
        let mut rooms: Vec<Vec<u8>> = shape.iter().map(|&len| vec![0; len]).collect();
        let mut slices: Vec<_> = rooms.iter_mut().map(|room| IoSliceMut::new(room)).collect();
        let count = from.read_vectored(&mut slices).unwrap();
        if count == 0 {
            break;
        }
        heard.extend_from_slice(&rooms.concat()[..count]);
        if yields {
            yield_now();
        }
    }
    heard
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_shapes_the_bytes_are_the_same(
        writes in prop::collection::vec(shape(), 0..6),
        reads in prop::collection::vec(shape(), 0..6),
        seed in any::<u64>(),
        over in 0..3_u8,
    ) {
        testing::run(seed, move || {
            let mut next = 0_u8;
            let messages: Vec<Vec<Vec<u8>>> = writes
                .iter()
                .map(|shape| {
                    let fill = |&len: &usize| {
                        next = next.wrapping_mul(5).wrapping_add(3);
                        (0..len).map(|index| next.wrapping_add(index as u8)).collect()
                    };
                    shape.iter().map(fill).collect()
                })
                .collect();
            let expected: Vec<u8> = messages.iter().flatten().flatten().copied().collect();
            macro_rules! go {
                ($near:expr, $far:expr) => {{
                    let near = $near;
                    let writer = spawn(move || {
                        for parts in &messages {
                            let mut bufs: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
                            near.write_all_vectored(&mut bufs).unwrap();
                            if seed % 2 == 0 {
                                yield_now();
                            }
                        }
                    });
                    let heard = read_all($far, &reads, seed % 3 == 0);
                    writer.join().unwrap();
                    heard
                }};
            }
            let heard = match over {
                0 => {
                    let (near, far) = connected();
                    go!(near, TcpStream::from_std(far).unwrap())
                }
                1 => {
                    let (near, far) = UnixStream::pair().unwrap();
                    go!(near, far)
                }
                _ => {
                    let (far, near) = pipe().unwrap();
                    go!(near, far)
                }
            };
            assert!(heard == expected);
        });
    }
}
