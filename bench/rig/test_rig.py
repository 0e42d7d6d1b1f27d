"""The rig's pure parts: `python3 -m unittest discover -s bench -t bench`. Starts no proxy, opens no socket."""

import pathlib
import tempfile
import tomllib
import unittest

from rig import load, measure, reload_config, targets
from rig.scenarios import Sample
from rig.settings import BENCH

PORTS = [8001, 8002, 8003]


class Reports(unittest.TestCase):
    def test_wrk_with_an_error_is_not_a_result(self):
        line = 'REPORT {"requests":9,"connect":0,"read":0,"write":0,"status":%d,"timeout":0,"p50_us":5,"p99_us":7}\n'
        self.assertEqual(load.parse_wrk(line % 0).p99_us, 7)
        for out in (line % 1, "", line.replace(":9", ":0") % 0):
            with self.assertRaises(load.LoadFailed):
                load.parse_wrk(out)

    def test_h2load_must_have_spoken_h2_and_only_2xx(self):
        text = (
            "Application protocol: %s\nrequests: 4 total, 4 started, 4 done, 4 succeeded, 0 failed, 0 errored, 0 timeout\n"
            "status codes: %d 2xx, 0 3xx, 0 4xx, %d 5xx\n"
        )
        with tempfile.NamedTemporaryFile("w", suffix=".log") as log:
            log.write("1\t200\t10\n2\t200\t30\n")
            log.flush()
            path = pathlib.Path(log.name)
            self.assertEqual(load.parse_h2load(text % ("h2", 4, 0), path).p99_us, 30)
            for values in (("http/1.1", 4, 0), ("h2", 3, 1)):
                with self.assertRaises(load.LoadFailed):
                    load.parse_h2load(text % values, path)

    def test_a_window_divides_cpu_by_requests_and_sees_foreign_load(self):
        first = measure.Reading(at_s=10, cpu_s=1, core_busy_s=5, requests=100)
        last = measure.Reading(at_s=12, cpu_s=2, core_busy_s=6.5, requests=50_100)
        seen = measure.window(first, last)
        self.assertAlmostEqual(seen.cpu_us_per_request, 20)
        self.assertAlmostEqual(seen.rps, 25_000)
        self.assertAlmostEqual(seen.foreign_share, 0.25)


class Verdicts(unittest.TestCase):
    def verdict(self, samples, what):
        return next(v for v in targets.judge(samples) if v.target.what == what)

    def test_ratios_pair_rounds_and_leave_failures_out(self):
        samples = [Sample("h1", "nginx", n, {"cpu_us": 10.0}) for n in range(3)]
        samples += [Sample("h1", "thalweg", n, {"cpu_us": cpu}) for n, cpu in enumerate((10.0, 12.0))]
        samples.append(Sample("h1", "thalweg", 2, {}, failure="LoadFailed"))
        found = self.verdict(samples, "CPU per request, HTTP/1.1, to nginx")
        self.assertEqual((round(found.value, 3), found.verdict, found.rounds), (1.1, "NOT REACHED", 2))

    def test_what_was_not_measured_is_neither_reached_nor_missed(self):
        self.assertEqual({v.verdict for v in targets.judge([])}, {"not measured"})

    def test_the_highest_level_that_nginx_held_is_judged(self):
        samples = []
        for level, held in (("open-30", True), ("open-50", True), ("open-70", False)):
            samples.append(Sample(level, "nginx", 0, {"p99_us": 100.0}, {"held": held}))
            samples.append(Sample(level, "thalweg", 0, {"p99_us": 105.0 if level == "open-50" else 900.0}, {"held": True}))
        self.assertEqual(targets.highest_held(samples), "open-50")
        found = self.verdict(samples, "p99 at the highest level held open-loop, to nginx")
        self.assertEqual((found.value, found.verdict), (1.05, "reached"))


class BigConfig(unittest.TestCase):
    def test_it_is_valid_toml_with_a_thousand_pools_of_ten_distinct_endpoints(self):
        small = (BENCH / "peers" / "thalweg.toml.tmpl").read_text()
        small = small.replace("@EP1@", "1").replace("@EP2@", "2").replace("@EP3@", "3")
        one, two = (tomllib.loads(reload_config.big(small, PORTS, weight)) for weight in (1, 2))
        addresses = [e["address"] for pool in one["pool"].values() for e in pool["endpoints"]]
        self.assertEqual((len(one["pool"]), len(addresses), len(set(addresses))), (1000, 10_000, 10_000))
        self.assertEqual({m["pool"] for r in one["route"].values() for m in r["pools"]}, set(one["pool"]))
        self.assertEqual(one["probe"]["fastapi"]["interval"], "60s")
        self.assertNotEqual(one, two)


if __name__ == "__main__":
    unittest.main()
