"""Every signature scheme: what is right is accepted, and everything else is refused with 401, never more."""

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import pytest

from gateway.config.schema import Source
from gateway.errors import Cause, Rejected
from gateway.receive.door import scheme_of
from gateway.receive.keys import KeyNeeded, Keys
from gateway.receive.presets import shipped
from gateway.receive.request import fields_of
from gateway.receive.roots import web_roots
from gateway.receive.verify import certificates, jws
from gateway.receive.verify.base import Verify
from gateway.receive.verify.rsa import PayPal, Sns
from tests.receive import signers
from tests.receive.knock import StillClock, opened, raw_headers
from tests.receive.signers import NOW_S, SCHEMES, Issued, Scheme, Signed

NAMES = tuple(SCHEMES)
HEADER_SIGNED = tuple(name for name in NAMES if SCHEMES[name].sign(SCHEMES[name].body, NOW_S).signature)
TIMED = tuple(name for name in NAMES if SCHEMES[name].timed)
SIGNATURE_CAUSES = {
    Cause.SIGNATURE_MISSING,
    Cause.SIGNATURE_MALFORMED,
    Cause.SIGNATURE_WRONG,
    Cause.SIGNATURE_EXPIRED,
}


def verifier(scheme: Scheme, settings: Mapping[str, Any], own: PayPal | Sns | None = None) -> Verify:
    """The scheme's check with its published keys fetched already."""

    async def fetch(url: str) -> bytes:
        return scheme.published[url]

    async def prepared() -> Verify:
        keys = Keys(StillClock(), fetch, roots=signers.roots)
        source = Source.model_validate({"preset": scheme.preset, **settings})
        found = own or scheme_of(source, shipped()[scheme.preset])
        assert found is not None
        assert list(found.faults(source)) == []
        verify = found.verifier(source, keys)
        for url in scheme.published:
            is_issuer = url.startswith("http:")
            await keys.fetch(KeyNeeded(url, certificates.read_issuer if is_issuer else PARSERS[scheme.preset]))
        return verify

    return asyncio.run(prepared())


PARSERS: dict[str, Callable[[bytes], Any]] = {
    "saleor": jws.read_jwks,
    "paypal": certificates.read_chain,
    "commercetools": certificates.read_chain,
    "adobe-commerce": jws.read_public_key,
}


@lru_cache
def right(name: str) -> Verify:
    return verifier(SCHEMES[name], SCHEMES[name].source)


@lru_cache
def signed(name: str, now_s: int = NOW_S) -> Signed:
    return SCHEMES[name].sign(SCHEMES[name].body, now_s)


def judge(
    name: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    verify: Verify | None = None,
    at_s: float = NOW_S,
) -> Cause | None:
    """What the scheme says: None, or the cause it refuses with."""
    request = signed(name)
    fields = fields_of(raw_headers(request.headers if headers is None else headers))
    try:
        (verify or right(name))(request.body if body is None else body, fields, int(at_s * 1000))
    except Rejected as rejected:
        return rejected.cause if rejected.status == 401 else Cause.NOT_AN_EVENT
    return None


def changed(text: str, place: int) -> str:
    return text[:place] + chr(ord(text[place]) ^ 1) + text[place + 1 :]


@pytest.mark.parametrize("name", NAMES)
def test_what_the_platform_signs_is_accepted(name: str) -> None:
    assert judge(name) is None


@pytest.mark.parametrize("name", [name for name in NAMES if SCHEMES[name].whole])
def test_every_changed_byte_of_the_body_is_refused(name: str) -> None:
    body = signed(name).body
    for place in range(len(body)):
        other = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
        assert judge(name, other) in SIGNATURE_CAUSES, place


@pytest.mark.parametrize("name", [name for name in NAMES if SCHEMES[name].whole])
@pytest.mark.parametrize("body", [b"", b"{}", b"\xff\xfe", b"x" * 5000], ids=["empty", "other", "binary", "long"])
def test_another_body_under_the_same_signature_is_refused(name: str, body: bytes) -> None:
    assert judge(name, body) in SIGNATURE_CAUSES


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cut", [1, 10])
def test_a_body_that_is_cut_or_longer_is_refused(name: str, cut: int) -> None:
    body = signed(name).body
    assert judge(name, body[:-cut]) in SIGNATURE_CAUSES
    assert judge(name, body + b"}" * cut) in SIGNATURE_CAUSES


@pytest.mark.parametrize("name", HEADER_SIGNED)
def test_every_changed_byte_of_the_signature_is_refused(name: str) -> None:
    request = signed(name)
    text = request.headers[request.signature]
    for place in range(len(text)):
        headers = {**request.headers, request.signature: changed(text, place)}
        assert judge(name, headers=headers) in SIGNATURE_CAUSES, place


@pytest.mark.parametrize("name", [name for name in NAMES if signed(name).timestamp])
def test_every_changed_byte_of_the_time_is_refused(name: str) -> None:
    request = signed(name)
    text = request.headers[request.timestamp]
    for place in range(len(text)):
        headers = {**request.headers, request.timestamp: changed(text, place)}
        assert judge(name, headers=headers) in SIGNATURE_CAUSES, place


@pytest.mark.parametrize("name", HEADER_SIGNED)
def test_a_missing_signature_is_refused_as_missing(name: str) -> None:
    request = signed(name)
    without = {key: value for key, value in request.headers.items() if key != request.signature}
    assert judge(name, headers=without) is Cause.SIGNATURE_MISSING
    assert judge(name, headers={**without, request.signature: ""}) is Cause.SIGNATURE_MISSING


MALFORMED = {
    "garbage": "garbage",
    "space": " ",
    "comma": ",",
    "equals": "=",
    "dots": "..",
    "many dots": "a.b.c.d.e",
    "quote": '"',
    "not ascii": "\u00e9" * 44,
    "nul": "\x00" * 44,
    "long": "A" * 20_000,
    "base64 of nothing": "====",
    "short base64": "QUJD",
    "digits": "0" * 64,
    "right length base64": "A" * 43 + "=",
    "prefix only": "sha256=",
    "two prefixes": "sha256=sha256=" + "0" * 57,
    "only a version": "v1,",
    "unknown version": "v9,QUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUJDQUI=",
    "many versions": " ".join(["v1,QUJD"] * 500),
    "stripe without time": "v1=" + "0" * 64,
    "stripe with words for time": "t=now,v1=" + "0" * 64,
    "stripe with two times": "t=1,t=2,v1=" + "0" * 64,
    "stripe with a huge time": "t=" + "9" * 400 + ",v1=" + "0" * 64,
    "stripe old version": f"t={NOW_S},v0=" + "0" * 64,
    "jws of json null": "bnVsbA..AAAA",
    "jws of a list": "W10..AAAA",
    "jws of another algorithm": "eyJhbGciOiJub25lIn0..AAAA",
    "jws with hmac": "eyJhbGciOiJIUzI1NiIsImtpZCI6Im91cnMiLCJiNjQiOmZhbHNlLCJjcml0IjpbImI2NCJdfQ..AAAA",
    "json": '{"a": 1}',
    "sql": "' OR 1=1 --",
    "newline": "abc\ndef",
}


@pytest.mark.parametrize("name", HEADER_SIGNED)
@pytest.mark.parametrize("text", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_signature_is_refused(name: str, text: str) -> None:
    request = signed(name)
    assert judge(name, headers={**request.headers, request.signature: text}) in SIGNATURE_CAUSES


@pytest.mark.parametrize("name", [name for name in NAMES if signed(name).timestamp])
@pytest.mark.parametrize("text", ["", "x", "-1", "1e9", "9" * 400, "\u0661\u0662", "2026-11-18", " "])
def test_a_malformed_time_is_refused(name: str, text: str) -> None:
    request = signed(name)
    assert judge(name, headers={**request.headers, request.timestamp: text}) in SIGNATURE_CAUSES


@pytest.mark.parametrize("name", [name for name in NAMES if name != "sns"])
def test_another_key_is_refused(name: str) -> None:
    scheme = SCHEMES[name]
    assert judge(name, verify=verifier(scheme, scheme.others)) in SIGNATURE_CAUSES


@pytest.mark.parametrize("name", [name for name in NAMES if "secrets" in SCHEMES[name].source])
def test_during_a_rotation_both_secrets_are_valid(name: str) -> None:
    scheme = SCHEMES[name]
    for secrets in (
        [scheme.source["secrets"], scheme.others["secrets"]],
        [scheme.others["secrets"], scheme.source["secrets"]],
    ):
        assert judge(name, verify=verifier(scheme, {**scheme.source, "secrets": secrets})) is None


@pytest.mark.parametrize("name", TIMED)
@pytest.mark.parametrize("off_s", [-299, 299])
def test_a_time_within_the_tolerance_is_accepted_both_ways(name: str, off_s: int) -> None:
    assert judge(name, at_s=NOW_S + off_s) is None


@pytest.mark.parametrize("name", TIMED)
@pytest.mark.parametrize("off_s", [-86_400, -302, 602, 86_400])
def test_a_time_beyond_the_tolerance_is_refused_both_ways(name: str, off_s: int) -> None:
    assert judge(name, at_s=NOW_S + off_s) is Cause.SIGNATURE_EXPIRED


# --- what is particular to one scheme --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    ["pspReference", "originalReference", "merchantAccountCode", "merchantReference", "eventCode", "success"],
)
def test_adyen_every_signed_field_of_every_item_is_proved(field: str) -> None:
    good, bad = signers.adyen_item(), signers.adyen_item(pspReference="2")
    bad["NotificationRequestItem"][field] = "changed"
    assert judge("adyen", signers.adyen_body(good, bad)) is Cause.SIGNATURE_WRONG
    assert judge("adyen", signers.adyen_body(good, signers.adyen_item(pspReference="2"))) is None


@pytest.mark.parametrize(
    "amount", [{"value": 1131, "currency": "EUR"}, {"value": 1130, "currency": "USD"}, None, [], 5]
)
def test_adyen_the_amount_is_proved(amount: Any) -> None:
    item = signers.adyen_item()
    item["NotificationRequestItem"]["amount"] = amount
    assert judge("adyen", signers.adyen_body(item)) in SIGNATURE_CAUSES


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"notificationItems": null}',
        b'{"notificationItems": []}',
        b'{"notificationItems": [null]}',
        b'{"notificationItems": [{"NotificationRequestItem": 7}]}',
        b'{"notificationItems": [{"NotificationRequestItem": {"additionalData": []}}]}',
        b'{"notificationItems": [{"NotificationRequestItem": {"additionalData": {"hmacSignature": 5}}}]}',
        b'{"notificationItems": [{"NotificationRequestItem": {"additionalData": {"hmacSignature": "\xc3\xa9"}}}]}',
        b'{"notificationItems": {"a": 1}}',
        b"[" * 300,
        b"\xff",
    ],
)
def test_adyen_a_body_without_signed_items_is_refused(body: bytes) -> None:
    assert judge("adyen", body) in SIGNATURE_CAUSES


def test_woocommerce_a_secret_with_entities_is_taken_as_wordpress_decodes_it() -> None:
    body = b"{}"
    verify = verifier(SCHEMES["woocommerce"], {"secrets": "a&amp;b"})
    for key in (b"a&b", b"a&amp;b"):
        headers = {"x-wc-webhook-signature": signers.b64(signers.mac(key, body))}
        assert judge("woocommerce", body, headers, verify) is None


def test_hexadecimal_may_be_upper_case_as_a_whole_but_not_in_part() -> None:
    request = signed("shopware")
    text = request.headers[request.signature]
    assert judge("shopware", headers={request.signature: text.upper()}) is None
    assert judge("shopware", headers={request.signature: text[:32].upper() + text[32:]}) is Cause.SIGNATURE_WRONG


def test_shopify_takes_both_spellings_of_its_headers() -> None:
    value = signed("shopify").headers["X-Shopify-Hmac-Sha256"]
    assert judge("shopify", headers={"Shopify-Hmac-Sha256": value}) is None


def test_a_signature_that_comes_twice_is_refused() -> None:
    value = signed("shopify").headers["X-Shopify-Hmac-Sha256"].encode()
    fields = fields_of([(b"x-shopify-hmac-sha256", value), (b"x-shopify-hmac-sha256", value)])
    with pytest.raises(Rejected) as refused:
        right("shopify")(signers.BODY, fields, NOW_S * 1000)
    assert refused.value.cause is Cause.SIGNATURE_MALFORMED


def test_stripe_any_of_several_signatures_may_fit() -> None:
    good = signed("stripe").headers["Stripe-Signature"]
    time, _, signature = good.partition(",")
    headers = {"Stripe-Signature": f"{time},v0=abc,v1={'0' * 64},{signature},v2=x"}
    assert judge("stripe", headers=headers) is None


def test_standard_webhooks_one_of_several_signatures_may_fit_and_other_versions_are_passed_over() -> None:
    request = signed("standard-webhooks")
    value = f"v9,zzz v1a,AAAA {request.headers['webhook-signature']} v1,QUJD"
    assert judge("standard-webhooks", headers={**request.headers, "webhook-signature": value}) is None


def test_standard_webhooks_an_id_with_dots_is_not_split_wrongly() -> None:
    signature = "v1," + signers.b64(signers.mac(b"twenty-four bytes of key", b"a.b.%d.%b" % (NOW_S, signers.BODY)))
    headers = {"webhook-id": "a.b", "webhook-timestamp": str(NOW_S), "webhook-signature": signature}
    assert judge("standard-webhooks", headers=headers) is None
    assert judge("standard-webhooks", headers={**headers, "webhook-id": "a"}) is Cause.SIGNATURE_WRONG


@pytest.mark.parametrize("secret", ["whsec_", "whsec_!!!", "whpk_QUJD", "whpk_"])
def test_standard_webhooks_a_secret_that_is_none_is_a_fault_of_the_configuration(secret: str) -> None:
    source = Source.model_validate({"preset": "standard-webhooks", "secrets": secret})
    scheme = scheme_of(source, shipped()["standard-webhooks"])
    assert scheme is not None
    with pytest.raises(ValueError, match="secret"):
        scheme.verifier(source, Keys(StillClock()))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://api.paypal.com/v1/notifications/certs/CERT-1",
        "https://api.paypal.com.evil.example/v1/notifications/certs/CERT-1",
        "https://evil.example/api.paypal.com",
        "https://evilpaypal.com/cert",
        "https://api.paypal.com@evil.example/cert",
        "https://evil.example#api.paypal.com/cert",
        "https://api.paypal.com:8443/cert",
        "https://api.paypal.com/../../cert",
        "https://api.paypal.com/cert?next=https://evil.example",
        "https://[::1]/cert",
        "https://api.paypal.com",
        "file:///etc/passwd",
        "//api.paypal.com/cert",
        "https://api.paypal.com/" + "a" * 600,
        "https://127.0.0.1\\.paypal.com/x",
        "https://[",
    ],
)
def test_paypal_a_certificate_from_elsewhere_is_never_fetched(url: str) -> None:
    headers = {**signed("paypal").headers, "PAYPAL-CERT-URL": url}
    assert judge("paypal", headers=headers) is Cause.SIGNATURE_MALFORMED


MESSAGES = "messageverificationcerts.paypal.com"


@pytest.mark.parametrize(
    ("host", "issued"),
    [
        ("api.evil.example", Issued()),
        ("paypal.com.evil.example", Issued()),
        (MESSAGES, Issued(days=-1)),
        (MESSAGES, Issued(issuer="nobody")),
        (MESSAGES, Issued(whole=False)),
        (MESSAGES, Issued(alternative=False)),
    ],
    ids=["elsewhere", "lookalike", "out of force", "unknown issuer", "issuer left out", "no alternative name"],
)
def test_paypal_a_certificate_that_is_not_paypals_is_refused(host: str, issued: Issued) -> None:
    assert judged_with("paypal", signers.certificate(host, issued)) is Cause.SIGNATURE_WRONG


@pytest.mark.parametrize("host", [MESSAGES, "messageverificationcerts.sandbox.paypal.com", "*.paypal.com"])
def test_paypal_a_certificate_of_any_host_of_paypal_that_leads_to_a_root_is_taken(host: str) -> None:
    assert judged_with("paypal", signers.certificate(host)) is None


def test_paypal_a_preset_of_ones_own_may_do_without_the_chain() -> None:
    scheme = PayPal(chain=False)
    text = signers.certificate(MESSAGES, Issued(issuer="nobody", whole=False))
    assert judged_with("paypal", text, scheme) is None
    assert judged_with("paypal", signers.certificate("evil.example"), scheme) is Cause.SIGNATURE_WRONG


def judged_with(name: str, certificate: bytes, scheme: PayPal | None = None) -> Cause | None:
    """What is said to a right signature under another certificate."""
    signer = SCHEMES[name]
    other = Scheme(signer.preset, signer.source, {}, signer.sign, {signers.PAYPAL_URL: certificate})
    return judge(name, verify=verifier(other, signer.source, scheme))


@pytest.mark.parametrize(
    ("late_s", "cause"),
    [
        (0, None),
        (3 * 86_400, None),
        (-240, None),
        (5 * 86_400, Cause.SIGNATURE_EXPIRED),
        (-7200, Cause.SIGNATURE_EXPIRED),
    ],
)
def test_paypal_takes_what_was_sent_within_its_days_of_retrying(late_s: int, cause: Cause | None) -> None:
    sent_s = datetime(2026, 11, 18, 10, tzinfo=UTC).timestamp()
    assert judge("paypal", at_s=sent_s + late_s) is cause


@pytest.mark.parametrize("text", ["", "yesterday", "2026-11-18", "2026-11-18T10:00:00", "1795000000", "9" * 400])
def test_paypal_a_transmission_time_that_is_none_is_malformed(text: str) -> None:
    headers = {**signed("paypal").headers, "PAYPAL-TRANSMISSION-TIME": text}
    assert judge("paypal", headers=headers) is Cause.SIGNATURE_MALFORMED


def test_the_roots_of_the_web_are_read_once() -> None:
    assert web_roots() is web_roots()


@pytest.mark.parametrize("algorithm", ["", "none", "SHA1withRSA", "MD5withRSA"])
def test_paypal_another_algorithm_is_refused(algorithm: str) -> None:
    headers = {**signed("paypal").headers, "PAYPAL-AUTH-ALGO": algorithm}
    assert judge("paypal", headers=headers) is Cause.SIGNATURE_MALFORMED


def test_adobe_either_of_two_signatures_suffices() -> None:
    request = signed("adobe-commerce")
    good = request.headers["x-adobe-digital-signature-1"]
    bad = signers.rsa_sign(b"something else")
    paths = {"x-adobe-public-key1-path": signers.ADOBE_PATHS[0], "x-adobe-public-key2-path": signers.ADOBE_PATHS[1]}
    for first, second in ((good, bad), (bad, good), ("garbage", good)):
        headers = {**paths, "x-adobe-digital-signature-1": first, "x-adobe-digital-signature-2": second}
        assert judge("adobe-commerce", headers=headers) is None
    headers = {**paths, "x-adobe-digital-signature-1": bad, "x-adobe-digital-signature-2": bad}
    assert judge("adobe-commerce", headers=headers) is Cause.SIGNATURE_WRONG


@pytest.mark.parametrize(
    "path", ["", "/", "//evil.example/key", "@evil.example/key", "/../key", "/a?b", "/a#b", ".evil.example/"]
)
def test_adobe_a_key_from_elsewhere_is_never_fetched(path: str) -> None:
    headers = {**signed("adobe-commerce").headers, "x-adobe-public-key1-path": path}
    assert judge("adobe-commerce", headers=headers) in SIGNATURE_CAUSES


def sns_judged(message: Any) -> Cause | None:
    return judge("sns", json.dumps(message).encode())


@pytest.mark.parametrize(
    "field", ["Message", "MessageId", "Timestamp", "TopicArn", "Type", "Signature", "SigningCertURL"]
)
def test_sns_every_signed_field_is_proved(field: str) -> None:
    message = signers.sns_message()
    assert sns_judged({**message, field: "changed"}) in SIGNATURE_CAUSES
    assert sns_judged({key: value for key, value in message.items() if key != field}) in SIGNATURE_CAUSES
    assert sns_judged({**message, field: 7}) in SIGNATURE_CAUSES


def test_sns_signs_a_subject_only_where_there_is_one_and_by_either_version() -> None:
    assert sns_judged(signers.sns_message(Subject="hello")) is None
    assert sns_judged(signers.sns_message(SignatureVersion="2")) is None
    assert sns_judged({**signers.sns_message(), "Subject": "added"}) is Cause.SIGNATURE_WRONG
    assert sns_judged({**signers.sns_message(), "SignatureVersion": "3"}) is Cause.SIGNATURE_MALFORMED


def sns_judged_with(certificate: bytes, issuer: bytes = b"", scheme: Sns | None = None) -> Cause | None:
    """What is said to a right signature under another certificate, or with another issuer."""
    signer = SCHEMES["sns"]
    published = {signers.SNS_URL: certificate, signers.SNS_ISSUER_URL: issuer or signers.issuer_der()}
    other = Scheme(signer.preset, signer.source, {}, signer.sign, published)
    return judge("sns", verify=verifier(other, signer.source, scheme))


SNS = "sns.amazonaws.com"


@pytest.mark.parametrize(
    ("host", "issued"),
    [
        ("sns.evil.example", signers.SNS_ISSUED),
        ("sns.amazonaws.com.evil.example", signers.SNS_ISSUED),
        (SNS, replace(signers.SNS_ISSUED, days=-1)),
        (SNS, replace(signers.SNS_ISSUED, issuer="nobody")),
        (SNS, replace(signers.SNS_ISSUED, alternative=False)),
        (SNS, Issued(issuer="nobody")),
        (SNS, Issued(whole=False)),
    ],
    ids=["elsewhere", "lookalike", "out of force", "unknown", "no alternative name", "unknown, whole", "nowhere"],
)
def test_sns_a_certificate_that_is_not_amazons_is_refused(host: str, issued: Issued) -> None:
    assert sns_judged_with(signers.certificate(host, issued)) is Cause.SIGNATURE_WRONG


@pytest.mark.parametrize("issued", [signers.SNS_ISSUED, Issued()], ids=["alone", "with its issuer"])
@pytest.mark.parametrize(
    "host",
    [
        SNS,
        "sns.eu-west-1.amazonaws.com",
        "sns-signing.af-south-1.amazonaws.com",
        "sns-cn-north-1.amazonaws.com.cn",
        "sns-us-gov-west-1.amazonaws.com",
    ],
)
def test_sns_a_certificate_of_any_region_that_leads_to_a_root_is_taken(host: str, issued: Issued) -> None:
    assert sns_judged_with(signers.certificate(host, issued)) is None


def test_sns_an_issuer_that_nobody_trusts_leads_nowhere() -> None:
    issued = replace(signers.SNS_ISSUED, issuer="nobody")
    wrong = sns_judged_with(signers.certificate(SNS, issued), signers.issuer_der("nobody"))
    assert wrong is Cause.SIGNATURE_WRONG


@pytest.mark.parametrize(
    "url", ["ldap://x.example/c", "http://127.0.0.1/c.cer", "http://x.example:81/c.cer", "http://localhost/c.cer", "x"]
)
def test_sns_an_issuer_is_fetched_from_a_name_on_the_web_only(url: str) -> None:
    issued = replace(signers.SNS_ISSUED, issuer_url=url)
    assert sns_judged_with(signers.certificate(SNS, issued)) is Cause.SIGNATURE_WRONG


def test_sns_a_preset_of_ones_own_may_do_without_the_chain() -> None:
    text = signers.certificate(SNS, Issued(issuer="nobody", whole=False))
    assert sns_judged_with(text, scheme=Sns(chain=False)) is None
    assert sns_judged_with(signers.certificate("evil.example"), scheme=Sns(chain=False)) is Cause.SIGNATURE_WRONG


async def test_sns_a_forged_signature_makes_nobody_look_for_an_issuer() -> None:
    fetched: list[str] = []

    async def fetch(url: str) -> bytes:
        fetched.append(url)
        return SCHEMES["sns"].published[url]

    body = json.dumps({**signers.sns_message(), "Message": "forged"}).encode()
    source = {"preset": "commercetools", **SCHEMES["sns"].source}
    async with opened({"shop": source}, fetch=fetch, roots=signers.roots) as visitor:
        assert (await visitor.post("shop", body, signed("sns").headers)).status == 401
    assert fetched == [signers.SNS_URL]


@pytest.mark.parametrize("body", [b"", b"[]", b"7", b"null", b"{", b'{"Type": []}'])
def test_sns_a_body_that_is_no_message_is_refused(body: bytes) -> None:
    assert judge("sns", body) in SIGNATURE_CAUSES


def test_saleor_with_a_secret_key_signs_the_old_way() -> None:
    body = b"{}"
    verify = verifier(SCHEMES["saleor"], {"secrets": "s"})
    for name in ("Saleor-Signature", "X-Saleor-Signature"):
        assert judge("saleor", body, {name: signers.mac(b"s", body).hex()}, verify) is None


@pytest.mark.parametrize("place", range(0, 400, 7))
def test_wix_a_token_with_a_changed_letter_is_refused(place: int) -> None:
    token = signed("wix").body.decode()
    assert judge("wix", changed(token, place).encode()) in SIGNATURE_CAUSES


@pytest.mark.parametrize(
    "token", [b"", b".", b"..", b"a.b.c", b"e30.e30.AAAA", b"\xff\xfe.a.b", b"eyJhbGciOiJub25lIn0.e30."]
)
def test_wix_a_body_that_is_no_token_is_refused(token: bytes) -> None:
    assert judge("wix", token) in SIGNATURE_CAUSES


@pytest.mark.parametrize("claims", [{"exp": "soon"}, {"iat": []}, {"nbf": "x"}, {"exp": True}])
def test_wix_a_token_with_strange_times_is_refused(claims: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("jwt.api_jwt.PyJWT._encode_payload", lambda _self, payload, **_: json.dumps(payload).encode())
        token = signers.wix(b"{}", NOW_S, **claims).body
    assert judge("wix", token) in SIGNATURE_CAUSES


@pytest.mark.parametrize("name", [name for name in NAMES if SCHEMES[name].published])
async def test_a_published_key_is_fetched_for_the_first_request_that_needs_it(name: str) -> None:
    scheme = SCHEMES[name]
    fetched: list[str] = []

    async def fetch(url: str) -> bytes:
        fetched.append(url)
        return scheme.published[url]

    async with opened(
        {"shop": {"preset": scheme.preset, **scheme.source}}, fetch=fetch, roots=signers.roots
    ) as visitor:
        for _ in range(2):
            request = signed(name)
            reply = await visitor.post("shop", request.body, request.headers)
            assert reply.status == 200, reply.body
    assert len(fetched) == (2 if name == "sns" else 1)


@pytest.mark.parametrize("name", [name for name in NAMES if SCHEMES[name].published])
async def test_without_its_published_key_a_request_is_to_come_again(name: str) -> None:
    async def fetch(url: str) -> bytes:
        raise OSError(f"no way to {url}")

    scheme = SCHEMES[name]
    async with opened(
        {"shop": {"preset": scheme.preset, **scheme.source}}, fetch=fetch, roots=signers.roots
    ) as visitor:
        for _ in range(2):
            request = signed(name)
            reply = await visitor.post("shop", request.body, request.headers)
            assert (reply.status, reply.cause) == (503, "key_unavailable")
            assert reply.headers["retry-after"]
