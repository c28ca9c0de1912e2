"""Rulesets: generated from macros, beside programs that print the same text from the same template."""

import shutil

from .machine import output
from .plan import spread, timed

# Rules in the template, and how many each becomes: hosts times ports.
SIZES = [(100, 10, 10), (1_000, 10, 10)]

PYTHON = r'''
import itertools, re, sys

def read(path):
    macros, text = {}, open(path).read().replace("\\\n", " ")
    for line in text.splitlines():
        if line.startswith("#define "):
            _, name, *words = line.split()
            macros[name] = words
    return macros

def expand(line, macros):
    parts = re.split(r"([A-Za-z0-9_]+)", line)
    names = list(dict.fromkeys(part for part in parts if part in macros))
    for words in itertools.product(*(macros[name] for name in names)):
        chosen = dict(zip(names, words))
        yield "".join(chosen.get(part, part) for part in parts)

macros = read(sys.argv[2])
out = []
for line in open(sys.argv[1]):
    out.extend(expand(line, macros) if line.startswith("-") else [line])
sys.stdout.write("".join(out))
'''

AWK = r'''
function expand(line,   place, name, words, count, nth, before, behind) {
    for (name in macros)
        if ((place = index(line, name)) > 0 && (first == "" || place < best)) { first = name; best = place }
    name = first; first = ""; place = best; best = 0
    if (name == "") { print line; return }
    before = substr(line, 1, place - 1); behind = substr(line, place + length(name))
    count = split(macros[name], words, " ")
    for (nth = 1; nth <= count; nth++) expand(before words[nth] behind)
}
NR == FNR { if ($1 == "#define") { name = $2; sub(/^#define +[^ ]+ +/, ""); macros[name] = $0 } next }
/^-/ { expand($0); next }
{ print }
'''

# GNU m4's manual has this loop; other quotes, since rulesets have brackets.
M4 = r"""divert(-1)
changequote(`<<', `>>')
define(<<foreach>>, <<pushdef(<<$1>>)_foreach($@)popdef(<<$1>>)>>)
define(<<_first>>, <<$1>>)
define(<<_foreach>>, <<ifelse(<<$2>>, <<()>>, <<>>,
  <<define(<<$1>>, _first$2)$3<<>>$0(<<$1>>, (shift$2), <<$3>>)>>)>>)
divert(0)dnl
"""


def run(options, scratch):
    """All of it; a minute."""
    folder = scratch / "rules"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    results = []
    for size in SIZES:
        figures = measured(options, folder, *size)
        print(*figures, sep="\n", flush=True)
        results += figures
    shutil.rmtree(folder)
    return results


def measured(options, folder, written, hosts, ports, rounds=15):
    """Every program over a template, in turn."""
    words = {"HOSTS": [f"10.0.0.{n}" for n in range(hosts)], "PORTS": [str(1000 + n) for n in range(ports)]}
    vars_, template, sets = folder / "x.var", folder / "iptables.conf.in", folder / "x.nft.in"
    vars_.write_text("".join(f"#define {name} {' '.join(of)}\n" for name, of in words.items()))
    rules = [f"-s HOSTS -d 192.168.{n >> 8}.{n & 255} --dport PORTS -j ACCEPT" for n in range(written)]
    lines = [f"-A INPUT -p tcp -m tcp {rule}\n" for rule in rules]
    template.write_text("".join(["*filter\n:INPUT DROP [0:0]\n", *lines, "COMMIT\n"]))
    in_nft = [
        f"\t\tip saddr HOSTS ip daddr 192.168.{n >> 8}.{n & 255} tcp dport PORTS accept\n" for n in range(written)
    ]
    sets.write_text("".join(["table ip filter {\n\tchain input {\n", *in_nft, "\t}\n}\n"]))
    unmasq = [options.binaries / "unmasq", "rules", "gen"]
    commands = {
        "unmasq rules gen": [*unmasq, template, "--vars", vars_],
        "unmasq rules gen, to a file that is synced": [*unmasq, template, "--vars", vars_, "-o", folder / "new"],
        "Python, a plain line-by-line expansion": ["python3", "-I", "-c", PYTHON, template, vars_],
        "awk, the same": ["awk", AWK, vars_, template],
        "m4, foreach in foreach around each rule": ["m4", in_m4(folder, template, words)],
    }
    wanted = output(*commands["unmasq rules gen"])
    made = written * hosts * ports
    assert len(wanted.splitlines()) == made + 3
    commands = {name: command for name, command in commands.items() if shutil.which(command[0])}
    for name, command in commands.items():
        assert "file" in name or output(*command) == wanted, f"{name} prints something else"
    commands["unmasq rules gen of the same for nft: as many rules as in the template, with sets"] = [
        *(*unmasq, sets, "--vars", vars_),
    ]
    runs = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            runs[name].append(timed(command))
    return [spread(name, figures, written=written, made=made) for name, figures in runs.items()]


def in_m4(folder, template, words):
    """The template as one for m4."""
    lists = {name: f"({', '.join(of)})" for name, of in words.items()}
    lines = []
    for line in template.read_text().splitlines(keepends=True):
        for name in reversed(words) if line.startswith("-") else ():
            line = f"foreach(<<{name}>>, <<{lists[name]}>>, <<{line}>>)"
        lines.append(line + "dnl\n" if line.startswith("foreach") else line)
    file = folder / "x.m4"
    file.write_text(M4 + "".join(lines))
    return file


def table(results):
    """As Markdown."""
    lines = []
    for made in dict.fromkeys(r["made"] for r in results):
        rows = [r for r in results if r["made"] == made]
        lines += [
            "",
            f"| {made:,} rules from {rows[0]['written']:,} with macros | median | highest | CPU | target |",
            "| --- | ---: | ---: | ---: | ---: |",
        ]
        target = "< 100 ms" if made == 10_000 else "–"
        for r in rows:
            asked = target if r["what"].startswith("unmasq") else "–"
            lines.append(
                f"| {r['what']} | {r['median_ms']:,} ms | {r['highest_ms']:,} ms | {r['cpu_ms']:,} ms | {asked} |"
            )
    return "\n".join(lines[1:])
