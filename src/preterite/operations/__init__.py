"""What operators ask and decide, for programs: the functions that `preterite status`, `dead-letters`, … call.

    finance = shop.databases["finance"].store
    with shop.connection(shop.components["finance"]) as connection:
        found = dead_letters.dead_letters(finance, connection, limit=10)
        operator = Operator("ben", "the price is there now", at=shop.clock.now().timestamp())
        dead_letters.redrive(finance, connection, [dead_letter.id for dead_letter in found], operator)

Each function takes the store and a connection of one component. `OpenSystem.status()` reads all components.
"""

from preterite.operations import dead_letters, recovery, rehearsal, replays, status
from preterite.operations.dead_letters import Operator

__all__ = ["Operator", "dead_letters", "recovery", "rehearsal", "replays", "status"]
