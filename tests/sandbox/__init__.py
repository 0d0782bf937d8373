"""Tests of the sandbox alone, over HTTP: does it behave as Stripe does?"""
