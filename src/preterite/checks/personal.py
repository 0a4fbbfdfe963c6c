"""Whether a field contains personal data, judging by the words of its name and by its type."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from uuid import UUID

_PHRASES = """
    account addr address adress apartment avatar bank_details bic biometric biometrics birth birthdate birthday
    birthplace blood_group blood_type born born_at born_on browser_fingerprint cardholder card_cvc card_cvv
    card_expiration card_expiry card_number card_pan care_of cellphone child_name children citizenship
    contact_details contact_person convictions coordinates credit_card credit_rating credit_score criminal_record
    cvc cvv cv debit_card device_fingerprint device_id diagnoses diagnosis disabilities disability dna dob door_code
    driver_licence driver_license drivers_licence drivers_license driving_licence driving_license e_mail email
    emails emergency_contact employer ethnicity eye_color face_id face_image father fingerprint firstname
    flat_number forename fullname gender geo geolocation gps hair_color hair_colour allergies allergy home_city
    home_country home_location home_town hometown house_number iban id_card id_document id_number identity_card
    identity_document identity_number imei imsi initials insurance_number insured_person ip ip_addr ipaddress ipv4
    ipv6 iris kin last_location lastname lat latitude license_plate licence_plate lng lon longitude mac_address
    maiden mail mailbox marital marital_status medical_condition medical_record medication middlename mobile
    mobile_phone mobiles mother msisdn national_id national_insurance nationality next_of_kin ni_number nickname nin
    nino number_plate occupation orientation passcode passphrase passport passport_id passwd password patient
    patronymic payment_card personal_code personal_id personnel_number phone phones photo photograph picture
    pin_code place_of_birth political_opinion political_party politics portrait postal post_code postcode pregnancy
    profession pronouns religion remote_addr residence routing_number salutation screen_name secret_answer
    security_answer security_question selfie sexual_orientation sexuality signature skype social_insurance
    social_security sort_code spouse ssn street surname tax_id tax_number taxpayer tel telephone tin trade_union
    twitter union_membership user_agent user_location useragent username vat_number voice_print voiceprint whatsapp
    zip zipcode"""
PHRASES = frozenset(tuple(phrase.split("_")) for phrase in _PHRASES.split())
"""Words, one or several in a row, that name personal data."""
_LONGEST = max(len(phrase) for phrase in PHRASES)
TAILS = frozenset(
    """
    1 2 3 address at city code country date day digits e164 formatted hash holder home image line line1 line2 month
    name names no note number numbers of on pan path place plain postal raw sha256 street surname text url value
    work year
    """.split()
)
"""Words after which a phrase is still the data: phone_number, but not phone_count."""
PEOPLE = frozenset(
    """
    applicant author beneficiary borrower buyer caller cardholder child client contact customer donor driver
    employee father guardian guest holder insured manager member mother owner parent passenger patient payee payer
    person recipient sender signatory signer spouse staff student subscriber tenant traveller user visitor
    """.split()
)
"""Words that make what follows that of a person: customer_age, recipient_name."""
NAMES = PEOPLE | frozenset(
    """
    additional alias billing birth delivery display family first full given invoice last legal maiden middle nick
    preferred real second shipping
    """.split()
)
"""Words that make `name` the name of a person."""
OF_PEOPLE = frozenset("age city county fax holder income location login pin salary sex town wage".split())
"""Words that name something of a person or of a thing: personal alone, or after a word for a person or a measure."""
QUANTITIES = frozenset("balance cell handle health height pan race wealth weight".split())
"""Words that name something of a thing, unless a word for a person or a measure stands before them."""
MEASURES = frozenset(
    """
    account annual bank base body card current gross hourly monthly net yearly
    """.split()
)
THINGS = frozenset(
    """
    app article asset banner branch brand building campaign category channel cluster company component container
    contract depot device document event file gateway group host icon item job line machine menu model module
    network node office package page parcel plant product project queue region repository resource role route script
    server service shelf shop site store supplier table tag task template theme unit vehicle vendor warehouse web
    website
    """.split()
)
"""Words before a phrase that make it that of a thing: product_photo, warehouse_address."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+\d?|\d+")


def is_personal(field: str, kind: Any) -> bool:
    """Whether a field is personal data; what is true or false, an instant or an opaque identifier is not."""
    words = [word.casefold() for word in _WORD.findall(field)]
    if kind in (bool, UUID) or (kind is datetime and not {"birth", "born", "dob", "birthday"}.intersection(words)):
        return False
    return _is_name(words) or any(
        _is_phrase(words, start, end)
        for start in range(len(words))
        for end in range(start + 1, min(len(words), start + _LONGEST) + 1)
    )


def _is_name(words: list[str]) -> bool:
    return words[-1:] in (["name"], ["names"]) and bool(NAMES.intersection(words[:-1]))


def _is_phrase(words: list[str], start: int, end: int) -> bool:
    """Whether the words between are a phrase, belong to a person, and are the data itself."""
    before, after = words[start - 1] if start else "", words[end:]
    if not TAILS.issuperset(after) or before in THINGS:
        return False
    phrase = tuple(words[start:end])
    if phrase in PHRASES:
        return True
    if len(phrase) > 1 or after:
        return False
    return words[start] in (OF_PEOPLE | QUANTITIES if before in PEOPLE | MEASURES else OF_PEOPLE if not before else ())
