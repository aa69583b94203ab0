"""The mailbox provider of a mail host, found by MX suffix."""

import re

import pytest

from validators.providers import OTHER, PROVIDERS, provider_of


@pytest.mark.parametrize(
    ("host", "provider"),
    [
        ("gmail-smtp-in.l.google.com", "google"),
        ("aspmx2.googlemail.com", "google"),
        ("hotmail-com.olc.protection.outlook.com", "outlook"),
        ("example-com.mail.protection.outlook.com", "office365"),
        ("example-com.o-v1.mx.microsoft", "office365"),
        ("mta5.am0.yahoodns.net", "yahoo"),
        ("mx01.mail.icloud.com", "apple"),
        ("mx00.gmx.net", "gmx"),
        ("mx-ha02.web.de", "gmx"),
        ("mx1-us1.ppe-hosted.com", "proofpoint"),
        ("mxa-001.gslb.pphosted.com", "proofpoint"),
        ("eu-smtp-inbound-1.mimecast.com", "mimecast"),
        ("d1.ess.barracudanetworks.com", "barracuda"),
        ("mx.yandex.net", "yandex"),
        ("mxs.mail.ru", "mail_ru"),
        ("mx3.qq.com", "qq"),
        ("smtp-in.orange.fr", "orange"),
        ("mx.notgoogle.com", "other"),
        ("google.com.example.org", "other"),
        ("com", "other"),
        ("", "other"),
    ],
)
def test_provider(host: str, provider: str) -> None:
    assert provider_of(host) == provider
    assert provider in PROVIDERS


def test_labels_are_few_and_fit_a_metric() -> None:
    assert len(PROVIDERS) <= 24
    assert PROVIDERS[-1] == OTHER
    assert all(re.fullmatch(r"[a-z0-9_]+", label) for label in PROVIDERS)
