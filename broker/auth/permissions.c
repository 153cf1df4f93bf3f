#include "broker/auth/permissions.h"

#include <stdlib.h>

#include "broker/core/subject.h"
#include "store/base/check.h"

struct permissions *permissions_new(void)
{
    struct permissions *p = check_alloc(sizeof *p);
    p->responses_max = 1;
    return p;
}

void permissions_free(struct permissions *p)
{
    if (p == NULL) return;
    for (size_t l = 0; l < PERMISSIONS_LISTS; l++) {
        for (size_t i = 0; i < p->lists[l].count; i++) {
            struct permissions_entry *e = &p->lists[l].entries[i];
            free((void *)(uintptr_t)e->subject.at);
            free((void *)(uintptr_t)e->queue.at);
        }
        free(p->lists[l].entries);
    }
    free(p);
}

static struct text text_dup(struct text t)
{
    char *copy = check_alloc(t.bytes + 1);
    if (t.bytes != 0) memcpy(copy, t.at, t.bytes);
    return (struct text){.at = copy, .bytes = t.bytes};
}

static void
list_append(struct permissions *p, enum permissions_list list, struct permissions_entry e)
{
    size_t count = p->lists[list].count;
    struct permissions_entry *entries = p->lists[list].entries;
    entries = check_realloc(entries, (count + 1) * sizeof *entries);
    entries[count] =
        (struct permissions_entry){.subject = text_dup(e.subject), .queue = text_dup(e.queue)};
    p->lists[list].entries = entries;
    p->lists[list].count = count + 1;
    p->lists[list].given = true;
}

bool permissions_add(struct permissions *p, enum permissions_list list, struct text entry)
{
    struct permissions_entry e = {.subject = entry};
    const char *blank = entry.bytes == 0 ? NULL : memchr(entry.at, ' ', entry.bytes);
    if (blank != NULL) {
        if (list != PERMISSIONS_SUB_ALLOW && list != PERMISSIONS_SUB_DENY) return false;
        const char *end = entry.at + entry.bytes;
        e.subject.bytes = (size_t)(blank - entry.at);
        while (blank < end && *blank == ' ')
            blank++;
        e.queue = (struct text){.at = blank, .bytes = (size_t)(end - blank)};
        if (!subject_valid_word(e.queue)) return false;
    }
    if (!subject_valid(e.subject)) return false;
    list_append(p, list, e);
    return true;
}

void permissions_give(struct permissions *p, enum permissions_list list)
{
    p->lists[list].given = true;
}

struct permissions *permissions_copy(const struct permissions *p)
{
    if (p == NULL) return NULL;
    struct permissions *copy = permissions_new();
    copy->responses = p->responses;
    copy->responses_max = p->responses_max;
    copy->responses_expires_ns = p->responses_expires_ns;
    for (size_t l = 0; l < PERMISSIONS_LISTS; l++) {
        copy->lists[l].given = p->lists[l].given;
        for (size_t i = 0; i < p->lists[l].count; i++) {
            list_append(copy, (enum permissions_list)l, p->lists[l].entries[i]);
        }
    }
    return copy;
}

static bool list_has(const struct permissions *p, enum permissions_list list, struct text subject)
{
    for (size_t i = 0; i < p->lists[list].count; i++) {
        const struct permissions_entry *e = &p->lists[list].entries[i];
        if (e->queue.bytes == 0 && subject_subset(subject, e->subject)) return true;
    }
    return false;
}

bool permissions_publish(const struct permissions *p, struct text subject)
{
    if (p == NULL) return true;
    bool allow_listed = p->lists[PERMISSIONS_PUB_ALLOW].given;
    /* Who may only answer may publish nothing else. */
    if (!allow_listed && p->responses && !p->lists[PERMISSIONS_PUB_DENY].given) return false;
    if (allow_listed && !list_has(p, PERMISSIONS_PUB_ALLOW, subject)) return false;
    return !list_has(p, PERMISSIONS_PUB_DENY, subject);
}

enum queue_verdict { QUEUE_NOT_NAMED, QUEUE_MATCHES, QUEUE_DIFFERS };

/* Entries with a queue that cover the subject: is this queue one of theirs? */
static enum queue_verdict list_queue(const struct permissions *p,
                                     enum permissions_list list,
                                     struct text subject,
                                     struct text queue)
{
    enum queue_verdict verdict = QUEUE_NOT_NAMED;
    if (queue.bytes == 0) return verdict;
    for (size_t i = 0; i < p->lists[list].count; i++) {
        const struct permissions_entry *e = &p->lists[list].entries[i];
        if (e->queue.bytes == 0 || !subject_subset(subject, e->subject)) continue;
        if (subject_match(e->queue, queue)) return QUEUE_MATCHES;
        verdict = QUEUE_DIFFERS;
    }
    return verdict;
}

static bool sub_allowed(const struct permissions *p, struct text subject, struct text queue)
{
    if (!p->lists[PERMISSIONS_SUB_ALLOW].given) return true;
    enum queue_verdict verdict = list_queue(p, PERMISSIONS_SUB_ALLOW, subject, queue);
    if (verdict != QUEUE_NOT_NAMED) return verdict == QUEUE_MATCHES;
    return list_has(p, PERMISSIONS_SUB_ALLOW, subject);
}

bool permissions_subscribe(const struct permissions *p,
                           struct text subject,
                           struct text queue,
                           bool *filtered)
{
    *filtered = false;
    if (p == NULL) return true;
    if (!sub_allowed(p, subject, queue)) return false;
    if (list_has(p, PERMISSIONS_SUB_DENY, subject)) return false;
    if (list_queue(p, PERMISSIONS_SUB_DENY, subject, queue) == QUEUE_MATCHES) return false;
    if (subject_is_literal(subject)) return true;
    for (size_t i = 0; i < p->lists[PERMISSIONS_SUB_DENY].count && !*filtered; i++) {
        const struct permissions_entry *e = &p->lists[PERMISSIONS_SUB_DENY].entries[i];
        *filtered = e->queue.bytes == 0 && subject_overlap(e->subject, subject);
    }
    return true;
}

bool permissions_deliver(const struct permissions *p, struct text subject)
{
    if (p == NULL) return true;
    for (size_t i = 0; i < p->lists[PERMISSIONS_SUB_DENY].count; i++) {
        const struct permissions_entry *e = &p->lists[PERMISSIONS_SUB_DENY].entries[i];
        if (e->queue.bytes == 0 && subject_match(e->subject, subject)) return false;
    }
    return true;
}
