"""What Marketing tells the others."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from preterite import Event


class CampaignBegun(Event, key="campaign_id"):  # crosses: event-unheard; fine: irregular
    campaign_id: UUID
    begun_at: datetime
    segment_code: str  # crosses: identifier-has-meaning
