"""Admission of workers: enrollment, approval, stored keys, discovery."""
