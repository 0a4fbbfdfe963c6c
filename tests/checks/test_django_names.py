"""Django's names of models and apps are resolved to the components that own them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from preterite import Component, System
from preterite.checks import check

CODE = {
    "__init__": "",
    "sales/__init__": "from preterite import Component\nsales = Component('sales')\n",
    "sales/models": """\
from django.db import models
from django.apps import apps
class Purchase(models.Model):
    customer = models.ForeignKey("Customer", models.CASCADE)  # its own
    own = models.ForeignKey("sales.Customer", models.CASCADE)
    user = models.ForeignKey("auth.User", models.CASCADE)  # of no component
    bill = models.ForeignKey("finance.Bill", models.CASCADE)  # found
    line = models.OneToOneField(to="money.billline", on_delete=models.CASCADE)  # found
    notes = models.ManyToManyField("notes_app.Note", through="finance.Bill")  # found 2
    buyer = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE)  # found
    place = TreeForeignKey("finance.Invoice", models.CASCADE)  # found
    tags = ParentalManyToManyField("ledgers.Entry")  # found
class Customer(models.Model):
    finance = models.CharField("finance.Bill", max_length=9)  # only a text
def bill():
    return apps.get_model("finance", "Bill")  # found
def line():
    return apps.get_model("money.BillLine")  # found
def own():
    return apps.get_model("sales", "Purchase")
def buyer():
    return get_user_model().objects.first()  # found
""",
    "sales/migrations/__init__": "",
    "sales/migrations/0001_initial": """\
from django.db import migrations, models
class Migration(migrations.Migration):
    dependencies = [
        ("sales", "0000_x"),
        ("auth", "0012_x"),
        ("finance", "0001_initial"),  # found
    ]
    run_before = [("money", "0002_x")]  # found
    needs = migrations.swappable_dependency(settings.AUTH_USER_MODEL)  # found
    operations = [migrations.AddField("purchase", "bill", models.ForeignKey(to="finance.bill"))]  # found
""",
    "finance/__init__": "from preterite import Component\nfinance = Component('finance')\n",
    "finance/models": "from django.db import models\nclass Bill(models.Model):\n    pass\n"
    "class Invoice(Bill):\n    pass\n"
    "class Person(AbstractBaseUser):\n    def again(self):\n        return get_user_model()\n",
    "finance/ledger/__init__": "class Ledger(PluginConfig):\n"
    "    name = 'django_shop.finance.ledger'\n    label = 'ledgers'\n",
    "finance/ledger/models": "class Entry(Dated, Numbered):\n    pass\n",
    "finance/lines/__init__": "",
    "finance/lines/apps": "from django.apps import AppConfig\nclass Lines(AppConfig):\n    label = 'money'\n",
    "finance/lines/models/__init__": "",
    "finance/lines/models/line": "from shop.base import TimedModel\nclass BillLine(TimedModel):\n    pass\n",
    "finance/odd": "from django.db import models\nclass Note(models.Model):\n"
    "    class Meta:\n        app_label = 'notes_app'\n",
}


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[System]:
    # Another test of this process may have configured Django.
    monkeypatch.setitem(sys.modules, "django.conf", SimpleNamespace(settings=SimpleNamespace(configured=False)))
    for name, text in CODE.items():
        file = tmp_path / "django_shop" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    made: list[Component] = []
    for name in ("sales", "finance"):
        __import__(f"django_shop.{name}")
        made.append(getattr(sys.modules[f"django_shop.{name}"], name))
    yield System("shop", made)
    for name in [name for name in sys.modules if name.partition(".")[0] == "django_shop"]:
        del sys.modules[name]


def test_every_line_that_names_another_components_model_or_app_is_found_and_no_other(system: System) -> None:
    marked = sorted(
        (name.rpartition("/")[2], number)
        for name, text in CODE.items()
        for number, line in enumerate(text.splitlines(), 1)
        for _ in range(int(line.rpartition("# found")[2] or 1) if "# found" in line else 0)
    )
    found = [one for one in check(system, {}) if one.rule == "names-internals"]

    assert sorted((one.place.file.stem, one.place.line) for one in found if one.place.file) == marked
    assert "sales names the model money.billline, which belongs to finance." in {one.message for one in found}
    assert "sales depends on the migrations of money, which belongs to finance." in {one.message for one in found}


def users_named_in(system: System) -> list[str]:
    return sorted(one.component for one in check(system, {}) if one.object == "AUTH_USER_MODEL")


def test_the_model_of_users_is_the_one_of_the_settings(system: System, tmp_path: Path) -> None:
    settings = tmp_path / "django_shop" / "settings.py"
    assert users_named_in(system) == ["sales"] * 3, "without settings: the only model that Django's abstract users base"

    settings.write_text("AUTH_USER_MODEL = 'auth.User'\n")
    assert users_named_in(system) == []

    settings.write_text("AUTH_USER_MODEL = 'sales.Customer'\n")
    assert users_named_in(system) == ["finance"]


def test_the_model_of_users_is_the_one_that_django_is_configured_with(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured = SimpleNamespace(configured=True, AUTH_USER_MODEL="sales.Customer")
    monkeypatch.setitem(sys.modules, "django.conf", SimpleNamespace(settings=configured))

    assert users_named_in(system) == ["finance"]
