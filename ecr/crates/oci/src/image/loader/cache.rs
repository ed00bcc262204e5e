//! `/etc/ld.so.cache`, in which ldconfig(8) writes where libraries are (glibc, `sysdeps/generic/dl-cache.h`).

/// The name of the file.
pub const NAME: &str = "ld.so.cache";

/// The beginning of the format that glibc has written since 2.2, alone or behind the older one.
const MAGIC: &[u8] = b"glibc-ld.so.cache1.1";
/// The numbers of bytes of the header and of an entry.
const HEADER: usize = 48;
const ENTRY: usize = 24;

/// The number of bytes of the longest path of Linux (limits.h, PATH_MAX).
const MAX_PATH: usize = 4096;
/// The number of bytes of all names and paths. Many entries may share a string.
const MAX_TEXT: usize = 16 << 20;

/// The names and paths of the libraries for any processor of the architecture, in the order of the file. Empty if the file is
/// damaged, which the loader ignores, too.
pub fn read(bytes: &[u8]) -> Vec<(String, String)> {
    let Some(start) = bytes.windows(MAGIC.len()).position(|it| it == MAGIC) else { return Vec::new() };
    let cache = &bytes[start..];
    let Some(flags) = cache.get(28) else { return Vec::new() };
    // The lowest two bits are the byte order: 2 is little-endian, 3 is big-endian, and 0 is that of the machine.
    let number = if flags & 3 == 3 { u32::from_be_bytes } else { u32::from_le_bytes };
    let at = |offset: usize| Some(number(cache.get(offset..offset.checked_add(4)?)?.try_into().ok()?));
    let text = |offset: u32| {
        let rest = cache.get(usize::try_from(offset).ok()?..)?;
        let rest = &rest[..rest.len().min(MAX_PATH)];
        Some(String::from_utf8_lossy(rest.split(|it| *it == 0).next()?).into_owned())
    };
    let entry = |n: usize| {
        let start = n.checked_mul(ENTRY)?.checked_add(HEADER)?;
        let (key, value) = (at(start + 4)?, at(start + 8)?);
        // Libraries with conditions are for some processors only (ld.so(8), "glibc-hwcaps").
        let is_for_all = at(start + 16)? == 0 && at(start + 20)? == 0;
        Some(is_for_all.then_some((text(key)?, text(value)?)))
    };
    let count = at(20).and_then(|it| usize::try_from(it).ok()).unwrap_or_default();
    let mut length = 0;
    let is_short = |(name, path): &(String, String)| {
        length += name.len() + path.len();
        length <= MAX_TEXT
    };
    (0..count).map_while(entry).flatten().take_while(is_short).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache with entries of name, path and hardware capabilities.
    fn cache(entries: &[(&str, &str, u64)]) -> Vec<u8> {
        let mut strings = Vec::new();
        let start = HEADER + ENTRY * entries.len();
        let mut bytes = [MAGIC, &(entries.len() as u32).to_le_bytes(), &[0; 4], &[2], &[0; 19]].concat();
        for (name, path, capabilities) in entries {
            let key = (start + strings.len()) as u32;
            strings.extend([name.as_bytes(), b"\0"].concat());
            let value = (start + strings.len()) as u32;
            strings.extend([path.as_bytes(), b"\0"].concat());
            bytes.extend(
                [&0x303_u32.to_le_bytes()[..], &key.to_le_bytes(), &value.to_le_bytes(), &[0; 4]].concat(),
            );
            bytes.extend(capabilities.to_le_bytes());
        }
        [bytes, strings].concat()
    }

    #[test]
    fn loader_cache_has_names_and_paths() {
        let bytes = cache(&[
            ("liba.so", "/opt/liba.so", 0),
            ("liba.so", "/v3/liba.so", 1 << 62),
            ("b.so", "/b.so", 0),
        ]);
        let wanted = [("liba.so", "/opt/liba.so"), ("b.so", "/b.so")];
        let wanted = wanted.map(|(name, path)| (name.to_owned(), path.to_owned()));
        assert_eq!(read(&bytes), wanted);
        // Old versions wrote the older format before it.
        assert_eq!(read(&[b"ld.so-1.7.0\0\0\0\0\0".as_slice(), &bytes].concat()), wanted);
        assert_eq!(read(b""), []);
        (0..bytes.len()).for_each(|end| assert!(read(&bytes[..end]).len() <= 2));
    }
}
