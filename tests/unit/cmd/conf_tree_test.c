/* conf_tree_test.c - config text to tree, as rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/conf_tree.h"
#include "store/base/err.h"

static struct conf_tree tree;
static char dump[65536];

static int parse(const char *text)
{
    conf_tree_free(&tree);
    return conf_tree_parse(&tree, "f", text_of(text));
}

static const char *dumped(void)
{
    struct writer w;
    writer_init(&w, 64);
    conf_tree_dump(tree.root, &w);
    assert_true(w.bytes < sizeof dump);
    memcpy(dump, w.base, w.bytes);
    dump[w.bytes] = 0;
    writer_free(&w);
    return dump;
}

static int teardown(void **state)
{
    (void)state;
    conf_tree_free(&tree);
    return 0;
}

static const struct good_case {
    const char *text, *dump;
} good_cases[] = {
    {"", "{}"},
    {"# nothing\n// at all\n", "{}"},
    {"a: 1\nb = 2\nc 3", "{a:1,b:2,c:3}"},
    {"a:1,b=2;c=3", "{a:1,b:2,c:3}"},
    {"a: 1 # why\nb: x // so\n", "{a:1,b:x}"},
    {"\xef\xbb\xbf"
     "a: 1\r\nb: 2\r\n",
     "{a:1,b:2}"},
    {"m { a: 1 }\nn: {b: 2, c: {}}\no={\n x: y\n}", "{m:{a:1},n:{b:2,c:{}},o:{x:y}}"},
    {"m{a:1}", "{m:{a:1}}"},
    {"m:\n{ a: 1\n}\n", "{m:{a:1}}"},
    {"l: [1, 2,\n3\n4 # four\n]", "{l:[1,2,3,4]}"},
    {"l = [{a:1}, [x], 'y', \"z\",]", "{l:[{a:1},[x],\"y\",\"z\"]}"},
    {"{\"a\": 1, \"b\": [true, null], \"c\": {\"d\": 1.5}}\n", "{a:1,b:[true,null],c:{d:1.5f}}"},
    {"'a b': 1\n\"c:d\": 2", "{a b:1,c:d:2}"},
    /* numbers, sizes, words */
    {"a: -5\nb: 1k\nc: 1KB\nd: 2MiB\ne: 1m\nf: 3gb\ng: 1Gi\nh: 1t",
     "{a:-5,b:1000,c:1024,d:2097152,e:1000000,f:3221225472,g:1073741824,h:1000000000000}"},
    {"a: 1.5\nb: -0.25\nc: 1.5x\nd: 1.2.3", "{a:1.5f,b:-0.25f,c:1.5x,d:1.2.3}"},
    {"a: true\nb: NO\nc: on\nd: Off\ne: yes\nf: false",
     "{a:true,b:false,c:true,d:false,e:true,f:false}"},
    {"a: 127.0.0.1:4222\nb: localhost:-1\nc: nats://x:y@h:1\nd: 2s\ne: -x\nf: 12ab",
     "{a:127.0.0.1:4222,b:localhost:-1,c:nats://x:y@h:1,d:2s,e:-x,f:12ab}"},
    {"a: 2016-05-04T18:53:41Z\nb: 2016-99-04T18:53:41Z",
     "{a:T1462388021000000000,b:2016-99-04T18:53:41Z}"},
    /* strings */
    {"a: 'x\\n$y'\nb: \"x\\t\\x41\\\"\\\\\"\nc: \"\\u00e4\"",
     "{a:\"x\\n$y\",b:\"x\tA\"\\\",c:\"\xc3\xa4\"}"},
    {"a: foo.>\nb: a#b\nc: x\\ty\nd: ''", "{a:foo.>,b:a#b,c:x\ty,d:\"\"}"},
    {"a: (\n one )\n (two)\n )\nb: 1", "{a:\"\n one )\n (two)\n\",b:1}"},
    {"a: \"true\"\nb: '1'", "{a:\"true\",b:\"1\"}"},
    /* variables */
    {"X: 5\na: $X\nm { b: $X, X: 6, c: $X }", "{X:5,a:5,m:{b:5,X:6,c:6}}"},
    {"P { publish: x }\nusers: [{user: a, permissions: $P}]",
     "{P:{publish:x},users:[{user:a,permissions:{publish:x}}]}"},
    {"p: $2a$11$abc\nq: '$X'", "{p:$2a$11$abc,q:\"$X\"}"},
    {"a: $GT_INT\nb: $GT_LIST\nc: $GT_NESTED\nd: $GT_EMPTY\ne: [$GT_INT, $GT_STR]\nf: $GT_MAP\ng: "
     "1",
     "{a:77,b:[1,2],c:77,d:,e:[77,\"x y\"],f:{k:v},g:1}"},
    {"a: 1\na: 2", "{a:1,a:2}"},
    {"include: 1", "{include:1}"},
};

static void config_text_becomes_a_tree(void **state)
{
    (void)state;
    setenv("GT_INT", "77", 1);
    setenv("GT_LIST", "[1, 2] # two", 1);
    setenv("GT_NESTED", "$GT_INT", 1);
    setenv("GT_EMPTY", "", 1);
    setenv("GT_STR", "'x y'", 1);
    setenv("GT_MAP", "{k: v}\n", 1);
    for (const struct good_case *c = good_cases; c < ARRAY_END(good_cases); c++) {
        if (parse(c->text) != 0) fail_msg("'%s' gave %s", c->text, tree.error);
        /* Quotes are part of the dump. */
        if (strcmp(dumped(), c->dump) != 0)
            fail_msg("'%s' gave\n%s, not\n%s", c->text, dump, c->dump);
    }
}

static const struct bad_case {
    const char *text, *error;
} bad_cases[] = {
    {"a: 1\n  b:", "f:2:5: expected a value, but the text ends"},
    {"a: \nb: 1", "f:1:4: expected a value, but got byte 0x0a"},
    {"a: 1 b: 2", "f:1:6: expected the end of the value, but got 'b'"},
    {"m {", "f:1:1: a map isn't closed: } is missing"},
    {"\n x: [1,\n", "f:2:2: an array isn't closed: ] is missing"},
    {"}", "f:1:1: expected a key, but got '}'"},
    {"m: ]", "f:1:4: expected a value, but got ']'"},
    {"m { ] }", "f:1:5: a key is missing"},
    {"{a: 1} b", "f:1:8: expected the end of the file, but got 'b'"},
    {"{a: 1", "f:1:6: expected }, but the text ends"},
    {"a: \"x", "f:1:5: a string isn't closed: \" is missing"},
    {"a: \"\\q\"", "f:1:7: invalid escape: known are \\t \\n \\r \\\" \\\\ \\xHH \\uHHHH"},
    {"a: (\n x", "f:2:3: a block isn't closed: a line with only ) is missing"},
    {"a: \"\\x00\"", "f:1:9: a NUL byte isn't allowed in a string"},
    {"a: 99999999999999999999", "f:1:24: a number is out of range"},
    {"a: $NOWHERE_AT_ALL", "f:1:1: variable reference for 'NOWHERE_AT_ALL' can not be found"},
    {"a: $GT_LOOP", "$GT_LOOP:1:9: variables refer to each other without end"},
    {"a: $GT_OPEN", "f:1:1: a map isn't closed: } is missing"},
    {"a: $GT_TWO", "$GT_TWO:1:3: expected the end of the variable's value, but got '2'"},
    {"m { x: $m }", "f:1:5: variable reference for 'm' can not be found"},
    {"include 'no-such-file'", "f:1:9: can't read 'no-such-file': not found"},
};

static void errors_say_where_and_what(void **state)
{
    (void)state;
    setenv("GT_LOOP", "$GT_LOOP", 1);
    setenv("GT_OPEN", "{a: 1", 1);
    setenv("GT_TWO", "1 2", 1);
    for (const struct bad_case *c = bad_cases; c < ARRAY_END(bad_cases); c++) {
        if (parse(c->text) != E_MALFORMED) fail_msg("'%s' was accepted", c->text);
        if (strcmp(tree.error, c->error) != 0) fail_msg("'%s' gave '%s'", c->text, tree.error);
        assert_null(tree.root);
    }
}

static void nesting_is_bounded_also_through_variables(void **state)
{
    char text[8192];
    (void)state;
    memset(text, '[', 200);
    memcpy(text, "a: ", 3);
    text[200] = 0;
    assert_int_equal(parse(text), E_MALFORMED);
    size_t at = (size_t)snprintf(text, sizeof text, "v0: [x]\n");
    for (int i = 1; i < 100; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "v%d: [$v%d]\n", i, i - 1);
    assert_int_equal(parse(text), E_MALFORMED);
    assert_non_null(strstr(tree.error, "inside each other"));
    /* Each line would double the tree: 2^60 nodes. */
    at = (size_t)snprintf(text, sizeof text, "v0: [x]\n");
    for (int i = 1; i < 60; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "v%d: [$v%d, $v%d]\n", i, i - 1, i - 1);
    assert_int_equal(parse(text), E_MALFORMED);
    assert_non_null(strstr(tree.error, "too large"));
}

static void nodes_know_their_place(void **state)
{
    (void)state;
    assert_int_equal(parse("a: 1\nb {\n   C: 2\n   c: $a\n}\n"), 0);
    const struct conf_node *c = conf_tree_get(conf_tree_get(tree.root, "B"), "c");
    assert_int_equal(c->number, 1); /* the last one, whatever its case */
    assert_int_equal(c->line, 4);
    assert_int_equal(c->column, 4);
    assert_string_equal(c->file, "f");
    assert_true(conf_tree_get(tree.root, "a")->used);
    assert_null(conf_tree_get(tree.root, "d"));
    assert_null(conf_tree_get(c, "d"));
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void files_include_others_beside_them(void **state)
{
    char dir[] = "/tmp/gannet-conf-XXXXXX", path[128], command[160];
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/sub", dir);
    snprintf(command, sizeof command, "mkdir %s", path);
    assert_int_equal(system(command), 0);
    write_file(dir, "main", "a: 1\nauthorization { include 'sub/users.conf' }\nb: $X\n");
    write_file(path, "users.conf", "X: 3\nusers: [ ]\ninclude \"json\" # beside\n");
    write_file(path, "json", "{ \"c\": 4 }");
    write_file(dir, "loop", "include ./loop\n");
    write_file(dir, "open", "m { include sub/half }\n");
    write_file(path, "half", "x: 1 }\n");
    snprintf(path, sizeof path, "%s/main", dir);
    conf_tree_free(&tree);
    assert_int_equal(conf_tree_load(&tree, path), E_MALFORMED); /* $X lives in authorization only */
    write_file(dir, "main", "a: 1\nauthorization { include 'sub/users.conf' }\n");
    conf_tree_free(&tree);
    assert_int_equal(conf_tree_load(&tree, path), 0);
    assert_string_equal(dumped(), "{a:1,authorization:{X:3,users:[],c:4}}");
    snprintf(path, sizeof path, "%s/loop", dir);
    conf_tree_free(&tree);
    assert_int_equal(conf_tree_load(&tree, path), E_MALFORMED);
    snprintf(path, sizeof path, "%s/open", dir);
    conf_tree_free(&tree);
    assert_int_equal(conf_tree_load(&tree, path), E_MALFORMED);
    assert_non_null(strstr(tree.error, "half:1:6: expected a key, but got '}'"));
    conf_tree_free(&tree);
    assert_int_equal(conf_tree_load(&tree, dir), E_INVAL);
    conf_tree_free(&tree);
    assert_int_equal(conf_tree_load(&tree, "/no/such/file"), E_NOTFOUND);
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

/* Every prefix, and every byte replaced: nothing but an answer is expected. */
static void broken_text_is_refused_or_read_but_never_worse(void **state)
{
    static const char soup[] = "{}[]()'\"\\$:=,;#/\n \x01\xff"
                               "e9";
    (void)state;
    for (const struct good_case *c = good_cases; c < ARRAY_END(good_cases); c++) {
        char text[256];
        size_t bytes = strlen(c->text);
        assert_true(bytes < sizeof text);
        for (size_t i = 0; i <= bytes; i++) {
            conf_tree_free(&tree);
            (void)!conf_tree_parse(&tree, "f", (struct text){.at = c->text, .bytes = i});
            for (size_t k = 0; k < sizeof soup && i < bytes; k++) {
                memcpy(text, c->text, bytes + 1);
                text[i] = soup[k];
                conf_tree_free(&tree);
                if (conf_tree_parse(&tree, "f", (struct text){.at = text, .bytes = bytes}) == 0)
                    dumped();
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config_text_becomes_a_tree),
        cmocka_unit_test(errors_say_where_and_what),
        cmocka_unit_test(nesting_is_bounded_also_through_variables),
        cmocka_unit_test(nodes_know_their_place),
        cmocka_unit_test(files_include_others_beside_them),
        cmocka_unit_test(broken_text_is_refused_or_read_but_never_worse),
    };
    return cmocka_run_group_tests(tests, NULL, teardown);
}
