"""Tests of the application: tables on the app itself, and the real server on a free port."""
