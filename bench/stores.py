"""Storage: the same synthetic flows in our ledger, in ClickHouse, in Parquet (DuckDB) and in SQLite.

A point look-up asks "who had this masked address and port, with this protocol, at this time" for a random flow of the
set; a client scan asks for all flows of a client. Each store is loaded by one thread and asked by one.
"""

import csv
import json
import shutil
import sqlite3
import subprocess
import tempfile
import time

import numpy as np

from .machine import children_cpu_seconds, evict, size_on_disk

COLUMNS = ["start", "dur", "proto", "client", "cport", "pubip", "pubport", "dst", "dport"]
CHUNK = 1_000_000
SEED = 42
PROTOCOLS = {6: "tcp", 17: "udp"}


class Flows:
    """The synthetic flows: columns for the stores, conntrack lines for our import."""

    def __init__(self, binaries, count, folder):
        self.count, self.folder = count, folder
        self.generator = [binaries / "unmasq-lab-flows", "--count", str(count), "--seed", str(SEED)]
        subprocess.run([*self.generator, "--format", "columns", "--out", folder], check=True)
        self.columns = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in COLUMNS}

    def chunks(self):
        """The columns, a million flows at a time."""
        for first in range(0, self.count, CHUNK):
            yield {name: np.asarray(column[first : first + CHUNK]) for name, column in self.columns.items()}

    def questions(self, count, seed):
        """Masked address, port, protocol and a time at which a flow lived; and its client."""
        random = np.random.default_rng(seed)
        c = self.columns
        for row in random.integers(0, self.count, count):
            at = int(c["start"][row]) + int(random.random() * int(c["dur"][row]))
            yield tuple(int(c[name][row]) for name in ("pubip", "pubport", "proto")) + (at, int(c["client"][row]))

    def clients(self):
        """A client of about 1,200 flows in ten million, and the busiest."""
        names, counts = np.unique(np.asarray(self.columns["client"][:CHUNK]), return_counts=True)
        order = np.argsort(-counts)
        return int(names[order[1_000]]), int(names[order[0]])

    def lines(self, path):
        """Writes the lines that `conntrack -E -o timestamp,id` would have printed."""
        with open(path, "wb") as file:
            subprocess.run([*self.generator, "--format", "conntrack"], stdout=file, check=True)


def dotted(address):
    """An IPv4 address in words."""
    return ".".join(str(address >> shift & 255) for shift in (24, 16, 8, 0))


def milliseconds(spans):
    """Median and 99th percentile."""
    return {
        "p50_ms": round(float(np.percentile(spans, 50)) * 1e3, 3),
        "p99_ms": round(float(np.percentile(spans, 99)) * 1e3, 3),
    }


def ask(point, questions):
    """Times look-ups one by one; how many found their client."""
    spans, found = [], 0
    for question in questions:
        began = time.perf_counter()
        clients = point(question)
        spans.append(time.perf_counter() - began)
        found += question[4] in clients
    return {**milliseconds(spans), "found": found, "asked": len(spans)}


def measured(name, flows, load_seconds, path, point, scan, queries):
    """Size, look-ups cold and warm, and client scans of a loaded store."""
    result = {"store": name, "flows": flows.count, "load_per_second": round(flows.count / load_seconds)}
    result["bytes_per_flow"] = round(size_on_disk(path) / flows.count, 2)
    evict([path] if path.is_file() else [entry for entry in path.rglob("*") if entry.is_file()])
    questions = list(flows.questions(queries, seed=7))
    result["cold"] = ask(point, questions)
    result["warm"] = ask(point, questions)
    for label, client in zip(("rare", "busy"), flows.clients()):
        began = time.perf_counter()
        rows = scan(client)
        result[label] = {"rows": rows, "ms": round((time.perf_counter() - began) * 1e3, 1)}
    return result


def unmasq(options, flows, scratch):
    """Our ledger, loaded by `unmasq ledger import`, asked by `unmasq trace`."""
    lines, ledger = scratch / "conntrack.log", scratch / "ledger"
    shutil.rmtree(ledger, ignore_errors=True)
    flows.lines(lines)
    program = options.binaries / "unmasq"
    began = time.perf_counter()
    subprocess.run(
        [program, "ledger", "import", "--format", "conntrack", "--ledger", ledger, lines],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    load = time.perf_counter() - began
    lines.unlink()
    runs = [path for path in ledger.rglob("*.run")]
    result = {"store": "unmasq", "flows": flows.count, "load_per_second": round(flows.count / load)}
    result["bytes_per_flow"] = round(sum(path.stat().st_size for path in runs) / flows.count, 2)
    result["whole_ledger_bytes_per_flow"] = round(size_on_disk(ledger) / flows.count, 2)

    def words(question):
        masked, port, protocol, at, _ = question
        seconds = f"{at // 1000}.{at % 1000:03}"
        return (f"{dotted(masked)}:{port}", seconds, PROTOCOLS[protocol])

    def command(question):
        endpoint, at, protocol = words(question)
        asked = [program, "trace", endpoint, "--at", at, "--window", "0s", "--proto", protocol, "--json"]
        answer = subprocess.run([*asked, "--ledger", ledger], capture_output=True, text=True)
        return {candidate["client"].rsplit(":", 1)[0] for candidate in json.loads(answer.stdout)["candidates"]}

    questions = list(flows.questions(200, seed=7))
    for label in ("cold", "warm"):
        if label == "cold":
            evict(runs)
        spans, found = [], 0
        for question in questions:
            began = time.perf_counter()
            clients = command(question)
            spans.append(time.perf_counter() - began)
            found += dotted(question[4]) in clients
        result[f"command_{label}"] = {**milliseconds(spans), "found": found, "asked": len(spans)}

    with tempfile.NamedTemporaryFile("w", suffix=".csv", dir=scratch, newline="") as table:
        rows = csv.writer(table)
        rows.writerow(["endpoint", "at", "proto", "window"])
        batch = [words(question) for question in flows.questions(10_000, seed=8)]
        rows.writerows([*row, "0s"] for row in batch)
        table.flush()
        began, cpu = time.perf_counter(), children_cpu_seconds()
        subprocess.run(
            [program, "trace", "--batch", table.name, "--ledger", ledger], check=True, stdout=subprocess.DEVNULL
        )
        result["batch_ms_per_row"] = round((time.perf_counter() - began) * 1e3 / len(batch), 3)
        result["batch_cpu_ms_per_row"] = round((children_cpu_seconds() - cpu) * 1e3 / len(batch), 3)

    for label, client in zip(("rare", "busy"), flows.clients()):
        asked = [program, "trace", "--client", dotted(client), "--since", "1794990000", "--until", "1800000000"]
        asked += ["--ledger", ledger]
        began = time.perf_counter()
        with subprocess.Popen([*asked, "--json"], stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            first_ms = (time.perf_counter() - began) * 1e3
            process.kill()
        # Into a file: a reader in Python would be the slower part.
        rows = scratch / "rows"
        took = {}
        for form, flags in (("json_ms", ["--json"]), ("ms", [])):
            with rows.open("wb") as out:
                began = time.perf_counter()
                subprocess.run([*asked, *flags], stdout=out)
                took[form] = round((time.perf_counter() - began) * 1e3, 1)
            if flags:
                found = sum(b'"masked"' in line for line in rows.open("rb"))
        rows.unlink()
        result[label] = {"rows": found, **took, "first_ms": round(first_ms, 1)}
    return result


def clickhouse(options, flows, scratch):
    """A MergeTree sorted by the masked endpoint, with the codecs that served best; the client's port as difference."""
    from chdb import session

    source, folder = scratch / "flows.parquet", scratch / "clickhouse"
    shutil.rmtree(folder, ignore_errors=True)
    write_parquet(flows, source, compression="none", use_dictionary=False)
    database = session.Session(str(folder))
    database.query("create database bench")
    database.query(
        """create table bench.nat (
             start DateTime64(3) codec(Delta, ZSTD(3)), dur UInt32 codec(T64, ZSTD(3)), proto UInt8 codec(ZSTD(3)),
             client IPv4 codec(ZSTD(3)), cdiff UInt16 codec(ZSTD(3)), pubip IPv4 codec(ZSTD(3)),
             pubport UInt16 codec(Delta, ZSTD(3)), dst IPv4 codec(ZSTD(3)), dport UInt16 codec(ZSTD(3))
           ) engine = MergeTree order by (pubip, pubport, start) settings index_granularity = 1024"""
    )
    began = time.perf_counter()
    database.query(
        f"""insert into bench.nat select start, dur, proto, toIPv4(client), toUInt16(cport - pubport),
              toIPv4(pubip), pubport, toIPv4(dst), dport from file('{source}', Parquet)
            settings max_threads = 1, max_insert_threads = 1, max_insert_block_size = 1048576"""
    )
    database.query("optimize table bench.nat final")
    load = time.perf_counter() - began
    source.unlink()
    size = int(
        database.query("select sum(bytes_on_disk) from system.parts where active and table = 'nat'", "CSV").bytes()
    )

    def point(question):
        masked, port, protocol, at, _ = question
        rows = database.query(
            f"""select toUInt32(client) from bench.nat where pubip = toIPv4('{dotted(masked)}') and pubport = {port}
                and proto = {protocol} and start <= fromUnixTimestamp64Milli({at})
                and toUnixTimestamp64Milli(start) + dur >= {at} settings max_threads = 1""",
            "CSV",
        ).bytes()
        return {int(row) for row in rows.split()}

    def scan(client):
        rows = database.query(
            f"select * from bench.nat where client = toIPv4('{dotted(client)}') settings max_threads = 1", "TSV"
        )
        return rows.bytes().count(b"\n")

    result = measured("ClickHouse (chdb)", flows, load, folder, point, scan, options.queries)
    result["bytes_per_flow"] = round(size / flows.count, 2)
    shutil.rmtree(folder)
    return result


def write_parquet(flows, path, **settings):
    """All flows in the order of their start."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer = None
    for chunk in flows.chunks():
        start = pa.array(chunk["start"]).cast(pa.timestamp("ms"))
        rows = pa.table({**chunk, "start": start})
        writer = writer or pq.ParquetWriter(path, rows.schema, **settings)
        writer.write_table(rows, row_group_size=122_880)
    writer.close()


def parquet(options, flows, scratch):
    """zstd level 3, in the order of time, read by DuckDB."""
    import duckdb

    path = scratch / "flows.parquet"
    began = time.perf_counter()
    settings = {"compression": "zstd", "compression_level": 3, "use_dictionary": ["proto", "client", "pubip", "dport"]}
    write_parquet(flows, path, **settings)
    load = time.perf_counter() - began
    database = duckdb.connect()
    database.execute("set threads = 1")

    def point(question):
        masked, port, protocol, at, _ = question
        rows = database.execute(
            f"""select client from '{path}' where pubip = ? and pubport = ? and proto = ?
                and start <= epoch_ms(?) and start + to_milliseconds(dur) >= epoch_ms(?)""",
            (masked, port, protocol, at, at),
        ).fetchall()
        return {row[0] for row in rows}

    def scan(client):
        return len(database.execute(f"select * from '{path}' where client = ?", (client,)).fetchall())

    # Every look-up reads the whole file: a few tell enough.
    result = measured("Parquet (DuckDB)", flows, load, path, point, scan, min(30, options.queries))
    path.unlink()
    return result


def sqlite(options, flows, scratch):
    """A table with an index over the masked endpoint and the start."""
    path = scratch / "flows.sqlite"
    path.unlink(missing_ok=True)
    database = sqlite3.connect(path)
    for pragma in ("journal_mode = off", "synchronous = off", "cache_size = -1000000"):
        database.execute(f"pragma {pragma}")
    database.execute(f"create table nat ({', '.join(f'{name} int' for name in COLUMNS)})")
    began = time.perf_counter()
    for chunk in flows.chunks():
        rows = zip(*(chunk[name].tolist() for name in COLUMNS))
        database.executemany(f"insert into nat values ({', '.join('?' * len(COLUMNS))})", rows)
        database.commit()
    database.execute("create index masked on nat (pubip, pubport, start)")
    database.commit()
    load = time.perf_counter() - began

    def point(question):
        masked, port, protocol, at, _ = question
        rows = database.execute(
            "select client from nat where pubip = ? and pubport = ? and start <= ? and proto = ? and start + dur >= ?",
            (masked, port, at, protocol, at),
        ).fetchall()
        return {row[0] for row in rows}

    def scan(client):
        return len(database.execute("select * from nat where client = ?", (client,)).fetchall())

    result = measured("SQLite", flows, load, path, point, scan, options.queries)
    database.close()
    path.unlink()
    return result


def run(options, scratch):
    """All stores, one after the other."""
    folder = scratch / "stores"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    flows = Flows(options.binaries, options.flows, folder / "columns")
    results = []
    for store in (unmasq, clickhouse, parquet, sqlite):
        results.append(store(options, flows, folder))
        print(results[-1], flush=True)
    shutil.rmtree(folder)
    return results


def table(results):
    """As Markdown."""
    lines = [
        "| store | bytes/flow | load, flows/s | look-up cold p50 / p99 | look-up warm p50 / p99 | rare client | busiest client |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for r in results:
        ours = r["store"] == "unmasq"
        cold, warm = (r["command_cold"], r["command_warm"]) if ours else (r["cold"], r["warm"])
        spans = [f"{s['p50_ms']} / {s['p99_ms']} ms" for s in (cold, warm)]
        scans = [f"{r[label]['ms']} ms ({r[label]['rows']:,} rows)" for label in ("rare", "busy")]
        name = "unmasq (whole commands; import of text)" if ours else r["store"]
        lines.append(
            f"| {name} | {r['bytes_per_flow']} | {r['load_per_second']:,} | {spans[0]} | {spans[1]} | {scans[0]} | {scans[1]} |"
        )
    ours = next(r for r in results if r["store"] == "unmasq")
    lines += [
        "",
        f"unmasq: {ours['whole_ledger_bytes_per_flow']} bytes a flow with chain, coverage and locks; "
        f"`trace --batch` takes {ours['batch_ms_per_row']} ms a row ({ours['batch_cpu_ms_per_row']} ms of CPU), "
        f"start of the program included; "
        f"the first row of a client comes after {ours['rare']['first_ms']} ms (rare) and "
        f"{ours['busy']['first_ms']} ms (busiest), all as JSON after {ours['rare']['json_ms']} and "
        f"{ours['busy']['json_ms']} ms. Look-ups inside one process: `cargo bench -p unmasq-ledger`.",
    ]
    return "\n".join(lines)
