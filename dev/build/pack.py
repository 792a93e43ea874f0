"""Turns the handler's binary into what AWS Lambda takes: a folder and a zip, both holding `bootstrap`.

The same binary gives the same zip, byte for byte: one entry, a fixed time, a fixed mode. Before that the binary's own dynamic
symbol table is read: a binary that wants a newer GLIBC than Amazon Linux 2023 has would not start (AWS Lambda Developer Guide,
"Building functions with Rust": OS-only runtime provided.al2023).
"""

import argparse
import pathlib
import sys
import zipfile
import zlib

import deflate
from elftools.elf.elffile import ELFFile
from elftools.elf.gnuversions import GNUVerNeedSection

# Amazon Linux 2023, the system under `provided.al2023`, has this one.
GLIBC_MAX = (2, 34)
# The most that libdeflate can: the zip is packed once and loaded for years, each time as part of a cold start.
LEVEL = 12
ZIP_BYTES_BUDGET = 4_000_000
# Zip's own epoch. The time of the build would make every zip different.
EPOCH = (1980, 1, 1, 0, 0, 0)
MACHINES = {"x86_64": "EM_X86_64", "arm64": "EM_AARCH64"}


def glibc_versions(binary: pathlib.Path, arch: str) -> set[tuple[int, ...]]:
    """The GLIBC versions that the dynamic symbols of `binary` ask for; exits if it was built for another machine."""
    versions = set()
    with binary.open("rb") as file:
        elf = ELFFile(file)
        if elf["e_machine"] != MACHINES[arch]:
            sys.exit(f"`{binary}` is for {elf['e_machine']}, not for {arch}")
        for section in elf.iter_sections():
            if isinstance(section, GNUVerNeedSection):
                for _, needed in section.iter_versions():
                    for version in needed:
                        if version.name.startswith("GLIBC_2."):
                            versions.add(tuple(int(part) for part in version.name.removeprefix("GLIBC_").split(".")))
    return versions


def dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def write_if_changed(path: pathlib.Path, content: bytes) -> None:
    """Leaves an equal file alone, so that what depends on it is not rebuilt."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_bytes() != content:
        # A new file, not the old one rewritten: the old one may be running.
        fresh = path.with_name(path.name + ".new")
        fresh.write_bytes(content)
        fresh.replace(path)
    path.chmod(0o755)


def write_zip(path: pathlib.Path, content: bytes) -> None:
    """One entry, packed by libdeflate: Python's own zlib leaves the same bytes 3 % larger."""
    packed = deflate.deflate_compress(content, LEVEL)
    entry = zipfile.ZipInfo("bootstrap", EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.create_system = 3  # Unix: the mode below counts
    entry.external_attr = (0o100755 & 0xFFFF) << 16
    entry.CRC, entry.file_size, entry.compress_size = zlib.crc32(content), len(content), len(packed)
    entry.header_offset = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    # zipfile packs what it is given; the entry is packed already, so only its directory is left to zipfile.
    with zipfile.ZipFile(fresh, "w") as archive:
        archive.fp.write(entry.FileHeader(zip64=False) + packed)
        archive.filelist.append(entry)
        archive.start_dir = archive.fp.tell()
        archive._didModify = True
    with zipfile.ZipFile(fresh) as archive:
        if archive.read("bootstrap") != content:
            sys.exit(f"`{fresh}` does not hold the binary that was packed")
    fresh.replace(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--arch", choices=sorted(MACHINES), required=True)
    parser.add_argument("--folder", type=pathlib.Path, required=True, help="gets `bootstrap`; what template.yaml names")
    parser.add_argument("--zip", type=pathlib.Path, required=True)
    arguments = parser.parse_args()

    versions = glibc_versions(arguments.binary, arguments.arch)
    too_new = sorted(version for version in versions if version > GLIBC_MAX)
    if too_new:
        names = ", ".join(dotted(version) for version in too_new)
        sys.exit(f"`{arguments.binary}` needs GLIBC {names}; Amazon Linux 2023 has {dotted(GLIBC_MAX)}")

    content = arguments.binary.read_bytes()
    write_if_changed(arguments.folder / "bootstrap", content)
    write_zip(arguments.zip, content)

    size = arguments.zip.stat().st_size
    glibc = dotted(max(versions)) if versions else "none"
    print(f"{arguments.zip}: {size:,} bytes ({len(content):,} unpacked), GLIBC {glibc} of at most {dotted(GLIBC_MAX)}")
    if size > ZIP_BYTES_BUDGET:
        print(f"warning: the zip is over its budget of {ZIP_BYTES_BUDGET:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    main()
