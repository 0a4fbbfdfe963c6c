"""Whether a field contains personal data, judging by the words of its name and by its type."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any
from uuid import UUID

_PHRASES = """
    aadhaar account addr address adress advertising_id allergies allergy android_id apartment apartment_number
    arrest_record avatar bank_details bankruptcy bic biometric biometrics birth birthdate birthday birthplace
    bitcoin_address blood_group blood_pressure blood_type bmi born born_at born_on brother browser_fingerprint
    bsn call_recording card_cvc card_cvv card_expiration card_expiry card_number card_pan cardholder care_of
    caste cause_of_death cell_no cell_number cellphone cellular cellular_number child_name children citizenship
    city_of_birth codice_fiscale contact_details contact_info contact_number contact_person convictions
    cookie_id coordinates country_of_birth cpf credit_card credit_history credit_rating credit_score
    criminal_convictions criminal_record curp current_location cv cvc cvv date_birth date_of_death daughter
    day_of_birth death_date debit_card dependents device_fingerprint device_id diagnoses diagnosis
    dietary_requirements disabilities disability disability_status disease dna dni dob door_code driver_licence
    driver_license drivers_licence drivers_license driving_licence driving_license e_mail education_level egn
    email emails emergency_contact emergency_email emergency_phone employee_number employer employment_status
    ethnic ethnic_group ethnic_origin ethnicity eye_color eye_colour face_embedding face_id face_image
    face_template facebook facebook_account facebook_handle facebook_profile facial_image faith family_members
    familyname father fingerprint fingerprints firstname firstnames fiscal_code flat_no flat_number forename
    forenames fullname gaid gait geburtsdatum gender gender_identity genetic genetic_data genome geo
    geo_location geo_position geohash geolocation givenname government_id gps gps_position hair_color
    hair_colour handwriting headshot health_condition health_data health_insurance health_number health_record
    health_status heart_rate hiv_status home_city home_country home_location home_town hometown honorific
    house_name house_no house_number husband iban iccid id_card id_document id_number identity_card
    identity_document identity_number idfa illness imei immigration_status imsi initials instagram
    instagram_account instagram_handle instagram_profile insurance_number insurance_policy insured_person ip
    ip_addr ipaddress ipv4 ipv6 iris iris_scan jmbg job_title keystrokes kin known_location landline
    last_location lastname lastnames lat latitude latlng latlon licence_plate license_plate linkedin
    linkedin_account linkedin_handle linkedin_profile lng login_name lon longitude mac_address maiden mail
    mailbox marital marital_status medical_condition medical_history medical_record medication medications
    memorable_word middle_initial middlename mobile mobile_phone mobiles month_of_birth mother msisdn mugshot
    nachname name_prefix name_suffix national_id national_identifier national_identity national_insurance
    nationalities nationality next_of_kin nhs_number ni_number nick nickname nie nin nino nric number_plate
    occupation offences oib orientation palm_print party_membership passcode passphrase passport passport_expiry
    passport_id passport_no passwd password patient patient_number patronymic payment_card paypal payslip
    pension personal_code personal_id personal_number personnel_number personnummer pesel phone phones photo
    photograph picture pin_code pix_key place_of_birth plz po_box policy_holder political_affiliation
    political_opinion political_opinions political_party political_view political_views politics portrait
    post_code postal postcode pps_number pregnancy pregnancy_status pregnant profession profile_image
    profile_photo profile_picture pronouns racial_origin registration_plate religion religious_belief
    religious_beliefs remote_addr residence residence_permit retina retina_scan routing_number salutation
    screen_name screenname secret_answer secret_question security_answer security_question selfie
    sexual_orientation sexual_preference sexuality sibling signal_number signature sim_number sister skin_color
    skin_colour skype skype_account skype_handle skype_profile smoker snapchat snapchat_account snapchat_handle
    snapchat_profile social_handle social_insurance social_insurance_number social_profile social_security son
    sort_code spouse ssn staff_number steuer_id strasse street street_number student_number surname surnames
    swift_code symptoms tattoo tax_id tax_identification tax_no tax_number tax_reference taxpayer tel telefon
    telegram telegram_account telegram_handle telegram_profile telephone tiktok tiktok_account tiktok_handle
    tiktok_profile tin town_of_birth trade_union tribe twitter twitter_account twitter_handle twitter_profile
    udid union_member union_membership upi_id user_agent user_location useragent username vaccination
    vaccination_status vaccinations vat_id vat_no vat_number vehicle_registration venmo veteran_status viber vin
    visa_number voice_print voice_recording voice_sample voicemail voiceprint vorname voter_id wage wages
    wallet_address wechat what3words whatsapp whatsapp_account whatsapp_handle whatsapp_profile wife work_permit
    year_of_birth zip zipcode"""
PHRASES = frozenset(tuple(phrase.split("_")) for phrase in _PHRASES.split())
"""Words, one or several in a row, that name personal data."""
_LONGEST = max(len(phrase) for phrase in PHRASES)
TAILS = frozenset(
    """
    1 2 3 address at city code country date day digits e164 embedding expiry ext extension formatted four hash
    holder home image jpg last last4 line line1 line2 month name names no note notes number numbers of on pan path
    place plain png postal raw sha256 street surname text url value work year
    """.split()
)
"""Words after which a phrase is still the data: phone_number, but not phone_count."""
PEOPLE = frozenset(
    """
    actor applicant assignee attendee author beneficiary borrower buyer caller cardholder child client commenter
    contact contributor creator customer donor driver editor employee father guardian guest holder insured
    invitee manager member moderator mother owner parent participant passenger patient payee payer person poster
    recipient registrant reporter requester reviewer sender signatory signer speaker spouse staff student
    subscriber tenant traveller uploader user visitor voter
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
OF_PEOPLE = frozenset("age city county fax holder income location login pin race salary sex town".split())
"""Words that name something of a person or of a thing: personal alone, or after a word for a person or a measure."""
QUANTITIES = frozenset("balance cell handle health height pan wealth weight".split())
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
    server service shelf shop site store supplier table tag task theme unit vehicle vendor warehouse web
    website
    """.split()
)
"""Words before a phrase that make it that of a thing: product_photo, warehouse_address."""
_DIGITS = re.compile(r"(\d+)$")
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+\d?|\d+")


def is_personal(field: str, kind: Any) -> bool:
    """Whether a field is personal data; what is true or false, an instant or an opaque identifier is not."""
    words = [word.casefold() for word in _WORD.findall(field)]
    split = [part for word in words for part in _DIGITS.split(word) if part]
    if kind in (bool, UUID) or (kind is datetime and not {"birth", "born", "dob", "birthday"}.intersection(words)):
        return False
    return _is_name(words) or _has_phrase(words) or _has_phrase(split)


def _has_phrase(words: list[str]) -> bool:
    return any(
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
    if len(phrase) > 1 or not {"number", "no"}.issuperset(after):
        return False
    return words[start] in (OF_PEOPLE | QUANTITIES if before in PEOPLE | MEASURES else OF_PEOPLE if not before else ())
