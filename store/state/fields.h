/* fields.h - a config struct and its JSON by one table: name, type, place, default, whether it may
 * change. Decoding, encoding, equality and update checks of streams and consumers come from the
 * rows, so that a field can't be read and not shown, or shown and not compared. Thread: loop. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "store/base/check.h"
#include "store/base/json_out.h"
#include "store/base/slice.h"
#include "store/state/stream.h"

enum field_type {
    FIELD_TEXT,     /* struct text */
    FIELD_BOOL,     /* bool */
    FIELD_I64,      /* int64_t; durations are ns */
    FIELD_U64,      /* uint64_t, as JSON up to INT64_MAX */
    FIELD_TIME,     /* int64_t ns since 1970, RFC 3339 in JSON; INT64_MIN: not set */
    FIELD_ENUM,     /* int: index into words */
    FIELD_TEXTS,    /* struct text *, and size_t at count_at */
    FIELD_I64S,     /* int64_t *, and size_t at count_at */
    FIELD_JSON,     /* struct text: the value as given, compact */
    FIELD_METADATA, /* struct text: an object of texts, keys sorted, without what servers inject */
    FIELD_OBJECT,   /* an object of its own with the rows of `sub`, in the same struct */
    FIELD_STRUCTS,  /* array of structs of `bytes` with the rows of `sub`, and size_t at count_at */
    FIELD_REFUSED,  /* known, but not built: anything but its zero is refused with `text` */
};
enum field_flag {
    FIELD_OMIT = 1,  /* not shown when zero or empty */
    FIELD_CONST = 2, /* an update that changes it is refused with `text` */
    FIELD_ONE = 4,   /* FIELD_STRUCTS: none or one, in JSON the object itself */
};
struct field {
    const char *name;
    enum field_type type;
    size_t at, count_at;
    unsigned flags;
    int64_t zero;             /* numbers: what an omitted or zero value becomes */
    const char *const *words; /* NULL-terminated; FIELD_REFUSED: the first is harmless */
    const char *text;
    const struct field *sub; /* ends at a row without name */
    size_t bytes;
    int code; /* of a refused change, when it isn't the table's */
};
struct fields {
    const struct field *rows; /* ends at a row without name */
    int code;                 /* enum js_error of a refused field and of a refused change */
    size_t arena_at;          /* void *: the arena that owns all text */
};

/* Fills a zeroed struct. E_INVAL with JetStream's error; the arena must be freed then too. */
NODISCARD int
fields_decode(const struct fields *t, struct text json, void *config, struct config_error *error);
/* level, version: what servers add to the metadata they show (protocol reference 6.2); version
 * NULL: nothing. skip: a member to leave out, or NULL. */
struct fields_show {
    const char *version;
    int level, required_level;
    const char *skip;
};
void fields_encode(const struct fields *t,
                   const void *config,
                   struct json_out *j,
                   const char *key,
                   const struct fields_show *show);
/* The same JSON, but for the member `skip`. */
bool fields_equal(const struct fields *t, const void *a, const void *b, const char *skip);
/* E_INVAL when a FIELD_CONST differs. */
NODISCARD int fields_update_check(const struct fields *t,
                                  const void *from,
                                  const void *to,
                                  struct config_error *error);

/* ---- memory of one config: lives until fields_free ---- */
void *fields_alloc(void **arena, size_t bytes);
struct text fields_copy(void **arena, struct text t);
void fields_free(void **arena);

/* ---- small rules that both tables need ---- */
/* Fills the error; always E_INVAL. */
int fields_fail(struct config_error *error, int code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* The error's own text from the table, with a detail. */
int fields_fail_code(struct config_error *error, int code, const char *detail);
bool fields_subject_valid(struct text subject);
/* No dot, wildcard or white space, not empty. */
bool fields_name_valid(struct text name);
bool fields_has_separator(struct text name); /* / or \ */
/* As Go prints a time.Duration: 1m30s, 1.5s, 250ms. Returns to. */
#define FIELDS_DURATION_BYTES 40
const char *fields_duration(int64_t ns, char to[FIELDS_DURATION_BYTES]);
