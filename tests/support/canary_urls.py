"""A password that must never be printed, in URLs of many shapes."""

from __future__ import annotations

CANARY = "CanarySecret42"
SHAPES = {
    "wrong password": f"postgresql://small_sales:{CANARY}@127.0.0.1:1/small_sales",
    "closed port": f"postgresql://u:{CANARY}@127.0.0.1:1/db",
    "password in query": f"postgresql://127.0.0.1:1/db?user=u&password={CANARY}",
    "sslpassword in query": f"postgresql://u@127.0.0.1:1/db?sslpassword={CANARY}",
    "unescaped @": f"postgresql://u:p@{CANARY}@127.0.0.1:1/db",
    "unescaped /": f"postgresql://u:x/{CANARY}@127.0.0.1:1/db",
    "unescaped #": f"postgresql://u:{CANARY}#x@127.0.0.1:1/db",
    "unescaped ?": f"postgresql://u:{CANARY}?x@127.0.0.1:1/db",
    "no database": f"postgresql://u:{CANARY}@127.0.0.1:1",
    "bad port": f"postgresql://u:{CANARY}@127.0.0.1:port/db",
    "no host": f"postgresql://u:{CANARY}/db",
    "bad percent": f"postgresql://u:{CANARY}%zz@127.0.0.1:1/db",
    "unknown scheme": f"mysql://u:{CANARY}@127.0.0.1/db",
    "unknown scheme, query": f"mysql://h/db?password={CANARY}",
    "asyncpg scheme": f"postgresql+asyncpg://u:{CANARY}@127.0.0.1/db",
    "keyword dsn": f"host=127.0.0.1 user=u password={CANARY} dbname=db",
    "quoted keyword dsn": f"host=127.0.0.1 password = '{CANARY} x'",
    "keywords after postgres:": f"postgres:host=127.0.0.1 password={CANARY}",
    "several hosts": f"postgresql://u:{CANARY}@127.0.0.1:1,127.0.0.2:1/db",
    "unknown parameter": f"postgresql://u:{CANARY}@127.0.0.1:1/db?foo={CANARY}",
    "sqlite with a password": f"sqlite+pysqlcipher://:{CANARY}@/x.db",
    "bracket": f"postgresql://u:{CANARY}[x@127.0.0.1:1/db",
    "space": f"postgresql://u:{CANARY} x@127.0.0.1:1/db",
    "space before": f"postgresql://u:x {CANARY}@127.0.0.1:1/db",
    "line feed": f"postgresql://u:x\n{CANARY}@127.0.0.1:1/db",
    "colon in the user": f"postgresql://u%3A{CANARY}@127.0.0.1:1/db",
    "keywords as the database": f"postgresql://127.0.0.1:1/host=h%20password={CANARY}",
    "one slash": f"postgresql:/u:{CANARY}@127.0.0.1/db",
    "options": f"postgresql://127.0.0.1:1/db?options=-c%20a.b%3D{CANARY}",
}
