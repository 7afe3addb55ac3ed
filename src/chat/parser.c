#include "chat/parser.h"

#include "chat/text.h"

/* ---- Tokens and nodes --------------------------------------------------------------------------- */

void hb_jnodes_add(hb_jnodes *nodes, hb_jnode *node)
{
    if (nodes->last) nodes->last->next = node;
    else nodes->first = node;
    nodes->last = node;
    nodes->n++;
}

hb_jnode *hb_jnode_new(hb_jparser *p, hb_jnode_kind kind)
{
    hb_jnode *node = hb_jalloc(p->j, 1, sizeof *node);
    node->kind = kind;
    node->line = p->token->line;
    return node;
}

bool hb_jat(const hb_jparser *p, hb_jtoken_kind kind, const char *spelled)
{
    return p->token->kind == kind && (!spelled || hb_jtext_is(p->token->value.text, spelled));
}

bool hb_jskip(hb_jparser *p, hb_jtoken_kind kind, const char *spelled)
{
    if (!hb_jat(p, kind, spelled)) return false;
    p->token++;
    return true;
}

void hb_junexpected(hb_jparser *p)
{
    static const char *const names[] = {
        [HB_T_DATA] = "text",  [HB_T_PRINT] = "'{{'",     [HB_T_PRINT_END] = "'}}'",
        [HB_T_BLOCK] = "'{%'", [HB_T_BLOCK_END] = "'%}'", [HB_T_TEXT] = "text in quotes",
        [HB_T_INT] = "number", [HB_T_REAL] = "number",    [HB_T_END] = "end of the template"};
    const hb_jtoken *t = p->token;
    p->j->line = t->line;
    if (t->kind == HB_T_NAME || t->kind == HB_T_OPERATOR)
        hb_jfail(p->j, HB_ERR_FORMAT, "unexpected '%.*s'", (int)t->value.text->length,
                 t->value.text->bytes);
    hb_jfail(p->j, HB_ERR_FORMAT, "unexpected %s", names[t->kind]);
}

void hb_jexpect(hb_jparser *p, hb_jtoken_kind kind, const char *spelled)
{
    if (!hb_jskip(p, kind, spelled)) hb_junexpected(p);
}

const hb_jtext *hb_jexpect_name(hb_jparser *p)
{
    if (p->token->kind != HB_T_NAME) hb_junexpected(p);
    return p->token++->value.text;
}

/* ---- Statements --------------------------------------------------------------------------------- */

/* Tags that end a body; NULL-terminated. */
typedef const char *const *ends;

static hb_jnode *parse_body(hb_jparser *p, ends until);

/* Parses a body and the name of the tag that ends it. */
static hb_jnode *parse_whole_body(hb_jparser *p, const char *end)
{
    const char *const until[] = {end, NULL};
    hb_jexpect(p, HB_T_BLOCK_END, NULL);
    hb_jnode *body = parse_body(p, until);
    p->token++;
    return body;
}

/* Checks the target of an assignment: a name, a tuple of targets, or an attribute of a namespace. */
static void check_target(hb_jparser *p, const hb_jnode *node, bool attributes)
{
    bool attribute = attributes && node->kind == HB_N_ATTRIBUTE && node->a->kind == HB_N_NAME;
    if (node->kind != HB_N_NAME && node->kind != HB_N_TUPLE && !attribute) hb_junexpected(p);
    if (node->kind != HB_N_TUPLE) return;
    for (const hb_jnode *part = node->list; part; part = part->next) check_target(p, part, attributes);
}

/* A name or an attribute. */
static hb_jnode *parse_single_target(hb_jparser *p)
{
    hb_jnode *node = hb_jparse_primary(p);
    if (!hb_jskip(p, HB_T_OPERATOR, ".")) return node;
    hb_jnode *attribute = hb_jnode_new(p, HB_N_ATTRIBUTE);
    attribute->a = node;
    attribute->name = hb_jexpect_name(p);
    return attribute;
}

static hb_jnode *parse_target(hb_jparser *p, bool attributes)
{
    hb_jnode *node = hb_jparse_tuple(p, attributes ? parse_single_target : hb_jparse_primary);
    check_target(p, node, attributes);
    return node;
}

static hb_jnode *parse_for(hb_jparser *p)
{
    static const char *const until[] = {"endfor", "else", NULL};
    hb_jnode *node = hb_jnode_new(p, HB_N_FOR);
    node->a = parse_target(p, false);
    hb_jexpect(p, HB_T_NAME, "in");
    node->b = hb_jparse_tuple(p, hb_jparse_condition);
    if (hb_jskip(p, HB_T_NAME, "if")) node->c = hb_jparse_expression(p);
    if (hb_jat(p, HB_T_NAME, "recursive"))
        hb_jfail(p->j, HB_ERR_UNSUPPORTED, "recursive loops are not supported");
    hb_jexpect(p, HB_T_BLOCK_END, NULL);
    node->body = parse_body(p, until);
    if (hb_jskip(p, HB_T_NAME, "else")) node->other = parse_whole_body(p, "endfor");
    else p->token++;
    return node;
}

static hb_jnode *parse_if(hb_jparser *p)
{
    static const char *const until[] = {"elif", "else", "endif", NULL};
    hb_jnode *first = hb_jnode_new(p, HB_N_IF), *node = first;
    for (;;) {
        node->a = hb_jparse_tuple(p, hb_jparse_condition);
        hb_jexpect(p, HB_T_BLOCK_END, NULL);
        node->body = parse_body(p, until);
        if (!hb_jskip(p, HB_T_NAME, "elif")) break;
        node = node->other = hb_jnode_new(p, HB_N_IF);
    }
    if (hb_jskip(p, HB_T_NAME, "else")) node->other = parse_whole_body(p, "endif");
    else p->token++;
    return first;
}

static hb_jnode *captured(hb_jparser *p)
{
    return hb_jnode_new(p, HB_N_CAPTURED);
}

static hb_jnode *parse_set(hb_jparser *p)
{
    hb_jnode *node = hb_jnode_new(p, HB_N_SET);
    node->a = parse_target(p, true);
    if (hb_jskip(p, HB_T_OPERATOR, "=")) {
        node->b = hb_jparse_tuple(p, hb_jparse_expression);
        return node;
    }
    node->kind = HB_N_SET_BLOCK;
    node->b = hb_jparse_filters(p, captured(p), false);
    node->body = parse_whole_body(p, "endset");
    return node;
}

static hb_jnode *parse_parameters(hb_jparser *p)
{
    hb_jnodes parameters = {0};
    hb_jexpect(p, HB_T_OPERATOR, "(");
    while (!hb_jskip(p, HB_T_OPERATOR, ")")) {
        if (parameters.n > 0) hb_jexpect(p, HB_T_OPERATOR, ",");
        hb_jnode *parameter = hb_jnode_new(p, HB_N_PARAM);
        parameter->name = hb_jexpect_name(p);
        if (hb_jskip(p, HB_T_OPERATOR, "=")) parameter->a = hb_jparse_expression(p);
        hb_jnodes_add(&parameters, parameter);
    }
    return parameters.first;
}

static hb_jnode *parse_macro(hb_jparser *p)
{
    hb_jnode *node = hb_jnode_new(p, HB_N_MACRO);
    node->name = hb_jexpect_name(p);
    node->list = parse_parameters(p);
    node->body = parse_whole_body(p, "endmacro");
    return node;
}

static hb_jnode *parse_call_block(hb_jparser *p)
{
    hb_jnode *node = hb_jnode_new(p, HB_N_CALL_BLOCK);
    if (hb_jat(p, HB_T_OPERATOR, "(")) node->list = parse_parameters(p);
    node->a = hb_jparse_expression(p);
    if (node->a->kind != HB_N_CALL) hb_junexpected(p);
    node->body = parse_whole_body(p, "endcall");
    return node;
}

static hb_jnode *parse_filter_block(hb_jparser *p)
{
    hb_jnode *node = hb_jnode_new(p, HB_N_FILTER_BLOCK);
    node->a = hb_jparse_filters(p, captured(p), true);
    node->body = parse_whole_body(p, "endfilter");
    return node;
}

static hb_jnode *parse_with(hb_jparser *p)
{
    hb_jnode *node = hb_jnode_new(p, HB_N_WITH);
    hb_jnodes sets = {0};
    while (p->token->kind != HB_T_BLOCK_END) {
        if (sets.n > 0) hb_jexpect(p, HB_T_OPERATOR, ",");
        hb_jnode *set = hb_jnode_new(p, HB_N_SET);
        set->a = hb_jparse_primary(p);
        check_target(p, set->a, false);
        hb_jexpect(p, HB_T_OPERATOR, "=");
        set->b = hb_jparse_expression(p);
        hb_jnodes_add(&sets, set);
    }
    node->list = sets.first;
    node->body = parse_whole_body(p, "endwith");
    return node;
}

/* {% generation %} marks the model's own turns for training. Here it has no effect. */
static hb_jnode *parse_generation(hb_jparser *p)
{
    hb_jnode *node = hb_jnode_new(p, HB_N_SCOPE);
    node->body = parse_whole_body(p, "endgeneration");
    return node;
}

static hb_jnode *parse_break(hb_jparser *p)
{
    return hb_jnode_new(p, HB_N_BREAK);
}

static hb_jnode *parse_continue(hb_jparser *p)
{
    return hb_jnode_new(p, HB_N_CONTINUE);
}

/* ---- Bodies ------------------------------------------------------------------------------------- */

static const struct {
    const char *tag;
    hb_jnode *(*parse)(hb_jparser *p);
} tags[] = {
    {"for", parse_for},         {"if", parse_if},
    {"set", parse_set},         {"macro", parse_macro},
    {"call", parse_call_block}, {"filter", parse_filter_block},
    {"with", parse_with},       {"generation", parse_generation},
    {"break", parse_break},     {"continue", parse_continue},
};

static hb_jnode *parse_statement(hb_jparser *p)
{
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        if (!hb_jat(p, HB_T_NAME, tags[i].tag)) continue;
        p->token++;
        hb_jnode *node = tags[i].parse(p);
        hb_jexpect(p, HB_T_BLOCK_END, NULL);
        return node;
    }
    if (p->token->kind != HB_T_NAME) hb_junexpected(p);
    hb_jfail(p->j, HB_ERR_UNSUPPORTED, "the tag '%.*s' is not supported here",
             (int)p->token->value.text->length, p->token->value.text->bytes);
}

static bool at_any(const hb_jparser *p, ends until)
{
    for (; until && *until; until++)
        if (hb_jat(p, HB_T_NAME, *until)) return true;
    return false;
}

static hb_jnode *parse_output(hb_jparser *p)
{
    hb_jnode *node = hb_jnode_new(p, HB_N_OUTPUT);
    if (p->token->kind == HB_T_DATA) {
        node->a = hb_jnode_new(p, HB_N_CONST);
        node->a->value = p->token++->value;
        return node;
    }
    hb_jexpect(p, HB_T_PRINT, NULL);
    node->a = hb_jparse_tuple(p, hb_jparse_expression);
    hb_jexpect(p, HB_T_PRINT_END, NULL);
    return node;
}

/* Parses statements up to a tag of `until`, and stops at its name. If `until` is NULL, parses to the
 * template's end. */
static hb_jnode *parse_body(hb_jparser *p, ends until)
{
    hb_jnodes body = {0};
    hb_jenter(p->j);
    while (p->token->kind != HB_T_END) {
        p->j->line = p->token->line;
        if (p->token->kind != HB_T_BLOCK) {
            hb_jnodes_add(&body, parse_output(p));
            continue;
        }
        p->token++;
        if (at_any(p, until)) break;
        hb_jnodes_add(&body, parse_statement(p));
    }
    if (until && p->token->kind == HB_T_END)
        hb_jfail(p->j, HB_ERR_FORMAT, "the template ends before '%s'", *until);
    hb_jleave(p->j);
    return body.first;
}

hb_jnode *hb_jparse(hb_jinja *j, const char *source, size_t length)
{
    hb_jparser p = {j, hb_jlex(j, source, length)};
    return parse_body(&p, NULL);
}
