//! How far back the references of a deflate stream go (RFC 1951): what no decompressor tells.

/// The greatest distance in blocks that end with an empty stored one, whose last four bytes were left out.
pub(super) fn farthest_reference(wire: &[u8]) -> usize {
    let mut bits = Bits { bytes: wire, at: 0 };
    let mut farthest = 0;
    loop {
        let is_final = bits.take(1) == 1;
        match bits.take(2) {
            0 => {
                bits.at = bits.at.next_multiple_of(8);
                if bits.at / 8 >= wire.len() {
                    return farthest;
                }
                let length = bits.take(16);
                bits.at += 16 + 8 * length;
            }
            1 => farthest = farthest.max(block(&mut bits, &fixed(), &Code::new(&[5; 30]))),
            2 => {
                let (lengths, distances) = dynamic(&mut bits);
                farthest = farthest.max(block(&mut bits, &lengths, &distances));
            }
            _ => panic!("no such block"),
        }
        assert!(!is_final, "a flushed stream goes on");
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> usize {
        (0..count).fold(0, |value, n| {
            let bit = self.bytes[self.at / 8] >> (self.at % 8) & 1;
            self.at += 1;
            value | usize::from(bit) << n
        })
    }
}

/// Section 3.2.2: how many codes of each length there are, and their symbols in order.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    fn new(lengths: &[u8]) -> Self {
        let mut counts = [0; 16];
        for &length in lengths.iter().filter(|&&length| length > 0) {
            counts[usize::from(length)] += 1;
        }
        let mut symbols: Vec<usize> = (0..lengths.len()).filter(|&s| lengths[s] > 0).collect();
        symbols.sort_by_key(|&symbol| lengths[symbol]);
        Self { counts, symbols }
    }

    fn read(&self, bits: &mut Bits<'_>) -> usize {
        let (mut code, mut first, mut index) = (0, 0, 0);
        for count in &self.counts[1..] {
            code |= bits.take(1);
            if code < first + count {
                return self.symbols[index + code - first];
            }
            index += count;
            first = (first + count) << 1;
            code <<= 1;
        }
        panic!("no such code")
    }
}

fn fixed() -> Code {
    let lengths: Vec<u8> = (0..288)
        .map(|symbol| match symbol {
            0..144 => 8,
            144..256 => 9,
            256..280 => 7,
            _ => 8,
        })
        .collect();
    Code::new(&lengths)
}

/// Section 3.2.7.
fn dynamic(bits: &mut Bits<'_>) -> (Code, Code) {
    const ORDER: [usize; 19] = [
        16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
    ];
    let (literals, distances) = (bits.take(5) + 257, bits.take(5) + 1);
    let codes = bits.take(4) + 4;
    let mut lengths = [0; 19];
    for &symbol in &ORDER[..codes] {
        lengths[symbol] = bits.take(3) as u8;
    }
    let code = Code::new(&lengths);
    let mut lengths: Vec<u8> = Vec::new();
    while lengths.len() < literals + distances {
        let (length, times) = match code.read(bits) {
            16 => (*lengths.last().unwrap(), 3 + bits.take(2)),
            17 => (0, 3 + bits.take(3)),
            18 => (0, 11 + bits.take(7)),
            length => (length as u8, 1),
        };
        lengths.extend(std::iter::repeat_n(length, times));
    }
    (
        Code::new(&lengths[..literals]),
        Code::new(&lengths[literals..]),
    )
}

fn block(bits: &mut Bits<'_>, literals: &Code, distances: &Code) -> usize {
    let mut farthest = 0;
    loop {
        match literals.read(bits) {
            0..256 => {}
            256 => return farthest,
            // Section 3.2.5: extra bits of a length, then the distance with its own.
            symbol => {
                bits.take(match symbol {
                    257..265 | 285 => 0,
                    _ => (symbol - 261) / 4,
                });
                let symbol = distances.read(bits);
                let extra = symbol.saturating_sub(2) / 2;
                let base = match symbol {
                    0..4 => symbol + 1,
                    _ => ((2 + symbol % 2) << extra) + 1,
                };
                farthest = farthest.max(base + bits.take(extra));
            }
        }
    }
}
