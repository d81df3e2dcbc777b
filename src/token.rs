//! The ids, the value a token maps to, and the record that holds both.
//!
//! Ids are 256-bit big-endian numbers, so that the order of their bytes is their
//! order as numbers. The tokens of a store, in that order, form a *ring*: after
//! the last one comes the first.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use bytemuck::{Pod, TransparentWrapper, Zeroable};

/// Number of bits in a token's [suffix](TokenId::suffix).
pub const SUFFIX_BITS: u32 = 10;

/// Number of different suffixes: 1,024. Every suffix is below it.
pub const SUFFIXES: usize = 1 << SUFFIX_BITS;

/// Declares a 32-byte id that orders, prints and parses as a 256-bit number.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        ///
        /// Displayed as 64 lower-case hex digits. Parsed from 64 hex digits, with or
        /// without `0x`, or from a decimal number below 2^64.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Pod, Zeroable, TransparentWrapper)]
        #[repr(transparent)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The smallest id, all bytes zero.
            pub const MIN: Self = Self([0; 32]);
            /// The largest id, all bytes `0xff`.
            pub const MAX: Self = Self([0xff; 32]);

            /// The bytes, most significant first.
            #[inline]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }

        impl Ord for $name {
            #[inline]
            fn cmp(&self, other: &Self) -> Ordering {
                halves(&self.0).cmp(&halves(&other.0))
            }
        }

        impl PartialOrd for $name {
            #[inline]
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl From<[u8; 32]> for $name {
            #[inline]
            fn from(bytes: [u8; 32]) -> Self {
                Self(bytes)
            }
        }

        /// Puts a 64-bit id into the last eight bytes: order and suffix survive.
        impl From<u64> for $name {
            #[inline]
            fn from(id: u64) -> Self {
                let mut bytes = [0; 32];
                bytes[24..].copy_from_slice(&id.to_be_bytes());
                Self(bytes)
            }
        }

        impl AsRef<[u8]> for $name {
            fn as_ref(&self) -> &[u8] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut digits = [0; 64];
                hex::encode_to_slice(self.0, &mut digits).map_err(|_| fmt::Error)?;
                f.pad(std::str::from_utf8(&digits).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                parse(text).map(Self)
            }
        }

        #[cfg(feature = "serde")]
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                if serializer.is_human_readable() {
                    serializer.collect_str(self)
                } else {
                    self.0.serialize(serializer)
                }
            }
        }

        #[cfg(feature = "serde")]
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                    text.parse().map_err(serde::de::Error::custom)
                } else {
                    <[u8; 32]>::deserialize(deserializer).map(Self)
                }
            }
        }
    };
}

id! {
    /// The id of a token: the key of the store.
    ///
    /// ```
    /// use ringstore::{InvalidId, TokenId};
    /// let token: TokenId = "1025".parse()?;
    /// assert_eq!(token, TokenId::from(1_025));
    /// assert_eq!(token.suffix(), 1);
    /// assert_eq!(token.to_string(), format!("{:064x}", 1_025));
    /// assert_eq!("0x401".parse::<TokenId>(), Err(InvalidId::Length { found: 3 }));
    /// # Ok::<(), InvalidId>(())
    /// ```
    TokenId
}

id! {
    /// The id of the block that last touched a token.
    BlockId
}

id! {
    /// The id of the peer that a signature is made for.
    PeerId
}

/// Text that is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidId {
    /// Neither 64 hex digits nor a short decimal number.
    #[error("an id has 64 hex digits, or is a decimal number below 2^64; found {found} characters")]
    Length {
        /// The number of characters, without `0x`.
        found: usize,
    },
    /// A character that is no hex digit.
    #[error("'{}' at position {index} of the id is no hex digit", c.escape_default())]
    Digit {
        /// The character.
        c: char,
        /// Its place, counted from 0, without `0x`.
        index: usize,
    },
    /// A decimal number of 2^64 or more.
    #[error("a decimal id must be below 2^64; write larger ones as 64 hex digits")]
    TooLarge,
}

/// Both halves as numbers: two comparisons of 128 bits beat one of 32 bytes.
#[inline]
fn halves(bytes: &[u8; 32]) -> (u128, u128) {
    let [high, low]: [[u8; 16]; 2] = bytemuck::cast(*bytes);
    (u128::from_be_bytes(high), u128::from_be_bytes(low))
}

/// The longest decimal number below 2^64. Longer runs of digits are cut hex ids.
const DECIMAL_DIGITS_MAX: usize = 20;

fn parse(text: &str) -> Result<[u8; 32], InvalidId> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    let mut bytes = [0; 32];
    if digits.len() == 64 {
        match hex::decode_to_slice(digits, &mut bytes) {
            Ok(()) => Ok(bytes),
            Err(hex::FromHexError::InvalidHexCharacter { c, index }) => {
                Err(InvalidId::Digit { c, index })
            }
            Err(_) => Err(InvalidId::Length { found: digits.len() }),
        }
    } else if digits.len() == text.len()
        && (1..=DECIMAL_DIGITS_MAX).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
    {
        let number: u64 = digits.parse().map_err(|_| InvalidId::TooLarge)?;
        bytes[24..].copy_from_slice(&number.to_be_bytes());
        Ok(bytes)
    } else {
        Err(InvalidId::Length { found: digits.chars().count() })
    }
}

impl TokenId {
    /// The last ten bits of the id, as a number below [`SUFFIXES`].
    #[inline]
    pub const fn suffix(&self) -> u16 {
        ((self.0[30] & 3) as u16) << 8 | self.0[31] as u16
    }
}

/// What a token maps to: the block that last touched it, and when.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct BlockTime {
    /// The block.
    pub block: BlockId,
    /// The time, in whatever unit the node counts; larger is newer.
    pub time: u64,
}

impl BlockTime {
    /// A block and its time.
    pub const fn new(block: BlockId, time: u64) -> Self {
        Self { block, time }
    }
}

/// A token with its value, as it lies on disk: token ‖ block ‖ time, 72 bytes.
///
/// The time is a big-endian number; the alignment is 1, so that any byte range of
/// whole records can be read as a slice of them.
#[derive(Clone, Copy, PartialEq, Eq, Pod, Zeroable)]
#[repr(C)]
pub struct Record {
    /// The token.
    pub token: TokenId,
    /// The block.
    pub block: BlockId,
    time_be: [u8; 8],
}

impl Record {
    /// Bytes of a record.
    pub const LEN: usize = 72;

    /// A record of its parts.
    #[inline]
    pub const fn new(token: TokenId, value: BlockTime) -> Self {
        Self { token, block: value.block, time_be: value.time.to_be_bytes() }
    }

    /// The time.
    #[inline]
    pub const fn time(&self) -> u64 {
        u64::from_be_bytes(self.time_be)
    }

    /// Block and time.
    #[inline]
    pub const fn value(&self) -> BlockTime {
        BlockTime { block: self.block, time: self.time() }
    }
}

#[expect(clippy::missing_fields_in_debug, reason = "the time is shown as a number")]
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("token", &self.token)
            .field("block", &self.block)
            .field("time", &self.time())
            .finish()
    }
}

impl From<(TokenId, BlockTime)> for Record {
    #[inline]
    fn from((token, value): (TokenId, BlockTime)) -> Self {
        Self::new(token, value)
    }
}

impl From<Record> for (TokenId, BlockTime) {
    #[inline]
    fn from(record: Record) -> Self {
        (record.token, record.value())
    }
}

const _: () = assert!(size_of::<Record>() == Record::LEN && align_of::<Record>() == 1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_order_is_numeric_order() {
        let mut last = TokenId::MIN;
        for id in [1, 2, 255, 256, 1023, 1024, u64::MAX] {
            assert!(last < TokenId::from(id), "{last} < {id}");
            last = TokenId::from(id);
        }
        let mut high = [0; 32];
        high[0] = 1;
        assert!(last < TokenId(high));
        assert!(TokenId(high) < TokenId::MAX);
    }

    #[test]
    fn the_suffix_is_the_last_ten_bits() {
        for id in [0, 1, 1023, 1024, 1025, u64::MAX, 0xdead_beef] {
            assert_eq!(u64::from(TokenId::from(id).suffix()), id % 1024);
        }
    }

    #[test]
    fn text_round_trips() {
        let id = TokenId(std::array::from_fn(|i| i as u8 * 7));
        let text = id.to_string();
        assert_eq!(text.len(), 64);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(format!("0x{text}").parse(), Ok(id));
        assert_eq!(text.to_uppercase().parse(), Ok(id));
        assert_eq!("18446744073709551615".parse(), Ok(TokenId::from(u64::MAX)));
    }

    #[test]
    fn text_that_is_no_id_is_refused() {
        let short = "0".repeat(63);
        assert_eq!(short.parse::<TokenId>(), Err(InvalidId::Length { found: 63 }));
        assert_eq!("".parse::<TokenId>(), Err(InvalidId::Length { found: 0 }));
        assert_eq!("0x12".parse::<TokenId>(), Err(InvalidId::Length { found: 2 }));
        assert_eq!("18446744073709551616".parse::<TokenId>(), Err(InvalidId::TooLarge));
        let bad = format!("{}g", "0".repeat(63));
        assert_eq!(bad.parse::<TokenId>(), Err(InvalidId::Digit { c: 'g', index: 63 }));
        assert!("\0".parse::<TokenId>().is_err());
        assert!("-1".parse::<TokenId>().is_err());
        assert!("é".repeat(32).parse::<TokenId>().is_err());
    }

    #[test]
    fn a_record_lies_as_token_block_time() {
        let record = Record::new(TokenId([1; 32]), BlockTime::new(BlockId([2; 32]), 0x0304));
        let bytes = bytemuck::bytes_of(&record);
        assert_eq!(bytes[..32], [1; 32]);
        assert_eq!(bytes[32..64], [2; 32]);
        assert_eq!(bytes[64..], [0, 0, 0, 0, 0, 0, 3, 4]);
        assert_eq!(record.time(), 0x0304);
    }
}
