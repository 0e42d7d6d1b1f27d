"""The side-by-side rig: nginx, HAProxy, Envoy and thalweg under the same load, one core each way.

Reading order: settings, peers, load, measure, scenarios, targets, report, __main__ (which tells a run from start to end).
"""
