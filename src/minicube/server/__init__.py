"""The web application: uploads, jobs in a process of their own, a page and a REST API.

Nothing is imported here: a job's process (:mod:`minicube.server.worker`) needs no web framework.
"""
