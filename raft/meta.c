/* meta.c - see meta.h.
 *
 * File `meta`: two pages (log_page.h, kind META), the stamp is the generation; generation g lies
 * in page g % 2.
 *   content  u64 boots, u64 incarnation, u64 term, u64 vote, u64 seq, u64 config_index,
 *            u32 config bytes, config
 * The first store makes the file aside and renames it, so that a meta file always has a good
 * slot. */
#include "raft/meta.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/base/err.h"
#include "store/base/logger.h"
#include "store/base/reader.h"
#include "store/base/writer.h"

#define SLOTS 2u
#define CONTENT_BYTES_MAX 1024u

static char *path_of(const char *dir, const char *name)
{
    size_t bytes = strlen(dir) + strlen(name) + 2;
    char *path = check_alloc(bytes);
    snprintf(path, bytes, "%s/%s", dir, name);
    return path;
}

static size_t encode(const struct meta *m, uint8_t to[CONTENT_BYTES_MAX])
{
    struct writer w = writer_over(to, CONTENT_BYTES_MAX);
    writer_u64(&w, m->facts.boots);
    writer_u64(&w, m->facts.incarnation);
    writer_u64(&w, m->vote.term);
    writer_u64(&w, m->vote.vote);
    writer_u64(&w, m->seq);
    writer_u64(&w, m->facts.config_index);
    writer_u32(&w, m->facts.config_bytes);
    writer_put(&w, m->facts.config, m->facts.config_bytes);
    return w.bytes;
}

static int decode(struct reader r, struct meta *m)
{
    m->facts.boots = reader_u64(&r);
    m->facts.incarnation = reader_u64(&r);
    m->vote.term = reader_u64(&r);
    m->vote.vote = reader_u64(&r);
    m->seq = reader_u64(&r);
    m->facts.config_index = reader_u64(&r);
    m->facts.config_bytes = reader_u32(&r);
    if (m->facts.config_bytes > sizeof m->facts.config) r.bad = true;
    const uint8_t *config = reader_bytes(&r, r.bad ? 0 : m->facts.config_bytes);
    if (config != NULL) memcpy(m->facts.config, config, m->facts.config_bytes);
    return r.bad ? E_CORRUPT : 0;
}

static int
decode_slot(const struct log_page_owner *owner, uint8_t *page, uint64_t slot, struct meta *m)
{
    struct log_page_head head;
    uint8_t content[CONTENT_BYTES_MAX];
    struct log_page_cursor c;
    if (!log_page_good(owner, page, slot, &head, &m->generation)) return E_NOTFOUND;
    if (head.kind != LOG_PAGE_META || head.content > sizeof content) return E_CORRUPT;
    if (m->generation % SLOTS != slot) return E_CORRUPT;
    log_page_seek(&c, page, log_page_offset(0));
    log_page_get(&c, content, head.content);
    return decode(reader_of(content, head.content), m);
}

/* Why no slot is good: another owner, another version, damage. */
static int
judge(const struct log_page_owner *owner, const uint8_t *page, uint64_t slot, uint64_t generation)
{
    struct log_page_owner claimed;
    unsigned format, sector;
    if (log_page_claim(page, slot, &format, &claimed)) {
        if (claimed.identity != owner->identity || claimed.group != owner->group) return E_FOREIGN;
        if (format > LOG_PAGE_FORMAT) return E_VERSION;
    }
    switch (log_page_judge(owner, page, slot, generation + 1, &sector)) {
    case LOG_PAGE_BAD:
    case LOG_PAGE_NEWER:
        return E_CORRUPT;
    case LOG_PAGE_NEW:
    case LOG_PAGE_OLDER:
    case LOG_PAGE_ZERO:
    case LOG_PAGE_TORN:
        return E_NOTFOUND;
    }
    return E_CORRUPT;
}

static int choose(const struct log_page_owner *owner, uint8_t *pages, struct meta *out)
{
    struct meta found[SLOTS] = {0};
    int rc[SLOTS];
    *out = (struct meta){0};
    for (unsigned s = 0; s < SLOTS; s++) {
        rc[s] = decode_slot(owner, pages + s * LOG_PAGE_BYTES, s, &found[s]);
        if (rc[s] != 0 && rc[s] != E_NOTFOUND) return rc[s];
        if (rc[s] == 0 && found[s].generation > out->generation) *out = found[s];
    }
    for (unsigned s = 0; s < SLOTS; s++) {
        if (rc[s] == 0) continue;
        int why = judge(owner, pages + s * LOG_PAGE_BYTES, s, out->generation);
        if (why != E_NOTFOUND) return why;
    }
    return out->generation == 0 ? E_CORRUPT : 0;
}

int meta_load(struct env *env,
              const char *dir,
              const struct log_page_owner *owner,
              struct meta *out)
{
    struct env_file *file = NULL;
    uint8_t *pages = log_page_alloc(SLOTS);
    size_t got = 0;
    char *path = path_of(dir, "meta");
    int rc = env->ops->file_open(env, path, ENV_READ, &file);
    if (rc != 0) goto out;
    rc = env->ops->file_read(file, 0, pages, SLOTS * LOG_PAGE_BYTES, &got);
    if (rc == 0 && got != SLOTS * LOG_PAGE_BYTES) rc = E_CORRUPT;
    if (rc == 0) rc = choose(owner, pages, out);
    if (rc != 0)
        LOG_CODE(ERR, LOG_CORRUPT, "%s can't be used: %s; nothing was changed", path, err_text(rc));
out:
    env->ops->file_close(file);
    free(path);
    free(pages);
    return rc;
}

static void seal(const struct log_page_owner *owner, const struct meta *m, uint8_t *page)
{
    uint8_t content[CONTENT_BYTES_MAX];
    struct log_page_cursor c;
    uint64_t chain = 0;
    size_t bytes = encode(m, content);
    log_page_seek(&c, page, log_page_offset(0));
    log_page_put(&c, content, bytes);
    log_page_fill(&c);
    struct log_page_head head = {.kind = LOG_PAGE_META, .pages = 1, .content = (uint32_t)bytes};
    log_page_seal(owner, &head, m->generation, m->generation % SLOTS, page, &chain);
}

static int store_first(struct env *env, const char *dir, const uint8_t *pages)
{
    struct env_file *file = NULL;
    char *from = path_of(dir, "meta.new"), *to = path_of(dir, "meta");
    int rc = env->ops->file_open(env, from, ENV_READ | ENV_WRITE | ENV_CREATE, &file);
    if (rc == 0) rc = env->ops->file_write(file, 0, pages, SLOTS * LOG_PAGE_BYTES);
    if (rc == 0) rc = env->ops->file_sync(file);
    env->ops->file_close(file);
    if (rc == 0) rc = env->ops->rename(env, from, to);
    if (rc == 0) rc = env->ops->dir_sync(env, dir);
    free(from);
    free(to);
    return rc;
}

static int store_slot(struct env *env, const char *dir, const uint8_t *page, uint64_t slot)
{
    struct env_file *file = NULL;
    char *path = path_of(dir, "meta");
    int rc = env->ops->file_open(env, path, ENV_READ | ENV_WRITE, &file);
    if (rc == 0) rc = env->ops->file_write(file, slot * LOG_PAGE_BYTES, page, LOG_PAGE_BYTES);
    if (rc == 0) rc = env->ops->file_sync(file);
    env->ops->file_close(file);
    free(path);
    return rc;
}

int meta_store(struct env *env, const char *dir, const struct log_page_owner *owner, struct meta *m)
{
    uint8_t *pages = log_page_alloc(SLOTS);
    memset(pages, 0, SLOTS * LOG_PAGE_BYTES);
    m->generation++;
    uint64_t slot = m->generation % SLOTS;
    uint8_t *page = pages + slot * LOG_PAGE_BYTES;
    seal(owner, m, page);
    int rc = m->generation == 1 ? store_first(env, dir, pages) : store_slot(env, dir, page, slot);
    free(pages);
    return rc;
}
