"""The events of Marketing."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from preterite import Event


class CampaignBegun(Event, key="campaign_id"):  # violation: event-without-subscriber; fine: an irregular verb
    campaign_id: UUID
    begun_at: datetime
    segment_code: str  # violation: identifier-has-meaning
