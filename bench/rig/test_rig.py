"""The rig's pure parts: `python3 -m unittest discover -s bench -t bench`. Starts no proxy, opens no socket."""

import contextlib
import dataclasses
import io
import json
import pathlib
import tempfile
import tomllib
import unittest

from rig import big_config, handshakes, load, measure, peers, report, scenarios, settings, targets
from rig.scenarios import Sample
from rig.settings import BENCH, TRAINED

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
        first = measure.Reading(at_s=10, user_s=1, system_s=3, core_busy_s=5, softirq_s=1, requests=100)
        last = measure.Reading(at_s=12, user_s=1.25, system_s=3.75, core_busy_s=6.5, softirq_s=1, requests=50_100)
        seen = measure.window(first, last)
        for found, wanted in ((seen.user_us, 5), (seen.system_us, 15), (seen.cpu_us, 20)):
            self.assertAlmostEqual(found, wanted)
        self.assertAlmostEqual(seen.rps, 25_000)
        self.assertEqual(seen.ticks, 1 / measure.TICK_S)
        self.assertAlmostEqual(seen.foreign_share, 0.25)
        self.assertAlmostEqual(measure.window(first, last, cores=2).foreign_share, 0.125)

    def test_a_soft_interrupt_that_the_kernel_charges_to_no_process_counts_for_the_proxy(self):
        # busy, and of it soft interrupts -> system time per request, foreign share
        for busy, softirq, system_us, foreign in ((1.0, 0.3, 15, 0), (1.3, 0.3, 21, 0), (1.5, 0.3, 21, 0.1)):
            first = measure.Reading(at_s=0, user_s=0, system_s=0, core_busy_s=0, softirq_s=0, requests=0)
            last = measure.Reading(
                at_s=2, user_s=0.25, system_s=0.75, core_busy_s=busy, softirq_s=softirq, requests=50_000
            )
            seen = measure.window(first, last)
            self.assertAlmostEqual(seen.system_us, system_us)
            self.assertAlmostEqual(seen.foreign_share, foreign)

    def test_handshakes_must_be_of_the_kind_that_was_asked(self):
        first = handshakes.THREADS
        cases = {
            ("full", 900, 0, 0): True,
            ("full", 900, 20, 0): False,
            ("full", 900, 0, 1): False,
            ("full", 0, 0, 0): False,
            ("resumed", first, 900, 0): True,
            ("resumed", first + 20, 900, 0): False,
            ("resumed", 900, 0, 0): False,
        }
        for (mode, full, resumed, errors), accepted in cases.items():
            out = "noise\n" + json.dumps({"mode": mode, "full": full, "resumed": resumed, "errors": errors})
            with self.subTest(out), contextlib.nullcontext() if accepted else self.assertRaises(load.LoadFailed):
                load.parse_handshakes(out)


def configured(cores=frozenset({0, 1}), **env):
    return settings.from_environment({"CARGO_TARGET_DIR": "/nowhere", **env}, set(cores))


class Settings(unittest.TestCase):
    def test_cores_are_split_between_proxy_and_load(self):
        for count, wanted in ((1, ((0,), (0,))), (2, ((0,), (1,))), (3, ((0, 1), (2,))), (4, ((0, 1), (2, 3))), (8, ((0, 1), (6, 7)))):
            chosen = configured(range(count))
            self.assertEqual((chosen.proxy_cores, chosen.load_cores), wanted)
        self.assertEqual(configured(range(2), PROXY_CORE="0,1").proxy_cores, (0, 1))

    def test_the_trained_build_is_judged_where_it_takes_part(self):
        for env, subject in (({}, "thalweg"), ({"BENCH_TRAINED": "1"}, TRAINED), ({"BENCH_TRAINED": "0"}, "thalweg"), ({"PEERS": TRAINED}, TRAINED)):
            self.assertEqual(configured(**env).subject, subject)

    def test_a_build_is_named_by_its_contents_and_by_what_the_release_noted(self):
        with tempfile.TemporaryDirectory() as folder:
            plain, trained, other = (pathlib.Path(folder, name) for name in ("plain", "trained", "other"))
            chosen = dataclasses.replace(configured(), plain_bin=plain, trained_bin=trained)
            noted = pathlib.Path(folder, "trained.build")
            plain.write_text("a"), trained.write_text("b"), other.write_text("c")
            self.assertEqual(peers.build_of(plain, chosen), "plain build")
            self.assertIn("not known", peers.build_of(trained, chosen))
            noted.write_text("trained\n")
            self.assertEqual(peers.build_of(trained, chosen), "trained build")
            self.assertIn("not known", peers.build_of(other, chosen))
            other.write_text("b")
            self.assertEqual(peers.build_of(other, chosen), "trained build")
            noted.write_text("plain\n")  # what `make release` notes where it cannot train
            self.assertIn("NOT trained", peers.build_of(trained, chosen))
            noted.unlink(), trained.write_text("a")
            self.assertIn("NOT trained", peers.build_of(trained, chosen))


class Repeats(unittest.TestCase):
    def measured(self, shares, **env):
        rig, shares = scenarios.Rig(configured(**env), endpoint=None), iter(shares)

        def work(sample):
            sample.figures, sample.detail = {"cpu_us": 1.0}, {"foreign_share": next(shares)}

        with contextlib.redirect_stderr(io.StringIO()):
            return rig.sample("h1", "nginx", 0, work)

    def test_a_disturbed_window_is_measured_again(self):
        sample = self.measured([0.5, 0.2, 0.01])
        self.assertEqual((sample.disturbed, sample.detail["foreign_share"], sample.detail["disturbed_shares"]), (False, 0.01, [0.5, 0.2]))

    def test_what_stays_disturbed_is_not_quoted(self):
        sample = self.measured([0.5] * 4)
        self.assertTrue(sample.disturbed)
        self.assertEqual(targets.values([sample], "h1", "nginx", "cpu_us"), [])
        rows = report.summarise([sample], ("nginx",), "thalweg")
        self.assertIn("0 (1 DISTURBED)", report.table(rows, "thalweg"))
        self.assertIn("not counted", report.disturbances([sample], configured())[-1])

    def test_a_quick_run_measures_once_and_shows_what_it_got(self):
        sample = self.measured([0.5], QUICK="1")
        self.assertFalse(sample.disturbed)
        self.assertEqual(len(report.disturbances([sample], configured(QUICK="1"))), 1)

    def test_without_a_third_core_two_workers_are_not_measured_and_the_report_says_why(self):
        rig = scenarios.Rig(configured(), endpoint=None)
        self.assertEqual(list(scenarios.two_workers(rig, "h1-2w")), [])
        self.assertIn("three cores", report.warnings([], {}, rig.not_measured, rig.settings)[0])


class Verdicts(unittest.TestCase):
    def verdict(self, samples, what):
        return next(v for v in targets.judge(samples) if v.target.what == what)

    def test_ratios_pair_rounds_and_leave_failures_out(self):
        samples = [Sample("h1", "nginx", n, {"cpu_us": 10.0}) for n in range(3)]
        samples += [Sample("h1", "thalweg", n, {"cpu_us": cpu}) for n, cpu in enumerate((10.0, 12.0))]
        samples.append(Sample("h1", "thalweg", 2, {}, failure="LoadFailed"))
        found = self.verdict(samples, "CPU per request, HTTP/1.1, 100 B, to nginx")
        self.assertEqual((round(found.value, 3), found.verdict, found.rounds), (1.1, "NOT REACHED", 2))

    def test_every_target_names_a_scenario_and_a_peer_that_exist(self):
        known = set(settings.SCENARIOS)
        self.assertEqual({t.scenario for t in targets.TARGETS} - known, set())
        self.assertEqual({t.against for t in targets.TARGETS if t.against} - set(settings.PEERS), set())
        self.assertEqual(set(scenarios.CLOSED) - known, set())
        self.assertEqual({name for name in known if report.title(name) == name}, {"open", "idle", "reload", "endpoints"})

    def test_what_was_not_measured_is_neither_reached_nor_missed(self):
        self.assertEqual({v.verdict for v in targets.judge([])}, {"not measured"})

    def test_the_highest_level_that_nginx_held_is_judged(self):
        samples = []
        for level, held in (("open-30", True), ("open-50", True), ("open-70", False)):
            samples.append(Sample(level, "nginx", 0, {"p99_us": 100.0}, {"held": held}))
            samples.append(Sample(level, "thalweg", 0, {"p99_us": 95.0 if level == "open-50" else 900.0}, {"held": True}))
        self.assertEqual(targets.highest_held(samples), "open-50")
        found = self.verdict(samples, "p99 at the highest level held open-loop, to nginx")
        self.assertEqual((found.value, found.verdict), (0.95, "reached"))


class BigConfig(unittest.TestCase):
    def parsed(self, shape, weight=1):
        template = BENCH / "peers" / "thalweg.toml.tmpl"
        small = peers.render(template, {"EP1": 1, "EP2": 2, "EP3": 3, "WORKERS": 1})
        return tomllib.loads(big_config.big(small, shape, PORTS, weight))

    def test_the_big_config_is_valid_toml_with_ten_thousand_distinct_endpoints_all_of_them_routed(self):
        for shape, pools in ((big_config.RELOAD, 1000), (big_config.ENDPOINTS, 100)):
            found = self.parsed(shape)
            addresses = [e["address"] for pool in found["pool"].values() for e in pool["endpoints"]]
            self.assertEqual((len(found["pool"]), len(addresses), len(set(addresses))), (pools, 10_000, 10_000))
            self.assertEqual({m["pool"] for r in found["route"].values() for m in r["pools"]}, set(found["pool"]))

    def test_the_reload_changes_weights_and_probes_seldom(self):
        one, two = (self.parsed(big_config.RELOAD, weight) for weight in (1, 2))
        self.assertEqual(one["probe"]["fastapi"]["interval"], "60s")
        self.assertNotEqual(one, two)

    def test_the_ten_thousand_share_one_route_and_have_no_probe(self):
        found = self.parsed(big_config.ENDPOINTS)
        self.assertEqual([len(route["pools"]) for route in found["route"].values()], [100])
        self.assertTrue(all("probe" not in pool and pool["keepalive"] for pool in found["pool"].values()))


if __name__ == "__main__":
    unittest.main()
