/* The aggregations. Each is a row of a table. Only tail5 has no function, because it is one of two
 * others, depending on the direction. */
#include "signals/aggregate.h"

#include <math.h>
#include <string.h>

static double top5(const hb_aggregate *a)
{
    return hb_top5_mean(&a->top);
}

static double bottom5(const hb_aggregate *a)
{
    return 0 - hb_top5_mean(&a->bottom); /* 0 - x avoids a result of -0 */
}

static double mean(const hb_aggregate *a)
{
    return a->sum / (double)a->n;
}

static double max(const hb_aggregate *a)
{
    return a->top.largest[0];
}

static double min(const hb_aggregate *a)
{
    return 0 - a->bottom.largest[0];
}

static double last(const hb_aggregate *a)
{
    return a->last;
}

static double first(const hb_aggregate *a)
{
    return a->first;
}

static double sum(const hb_aggregate *a)
{
    return a->sum;
}

static const struct {
    const char *name;
    double (*value)(const hb_aggregate *aggregate);
} aggregations[] = {
    [HB_AGGREGATION_TAIL5] = {"tail5", NULL},
    [HB_AGGREGATION_TOP5] = {"top5", top5},
    [HB_AGGREGATION_BOTTOM5] = {"bottom5", bottom5},
    [HB_AGGREGATION_MEAN] = {"mean", mean},
    [HB_AGGREGATION_MAX] = {"max", max},
    [HB_AGGREGATION_MIN] = {"min", min},
    [HB_AGGREGATION_LAST] = {"last", last},
    [HB_AGGREGATION_FIRST] = {"first", first},
    [HB_AGGREGATION_SUM] = {"sum", sum},
};

size_t hb_aggregation_count(void)
{
    return sizeof aggregations / sizeof *aggregations;
}

const char *hb_aggregation_name(hb_aggregation aggregation)
{
    return (size_t)aggregation < hb_aggregation_count() ? aggregations[aggregation].name : "unknown";
}

bool hb_aggregation_is_measured(hb_aggregation aggregation)
{
    return (size_t)aggregation < hb_aggregation_count() && aggregations[aggregation].value;
}

bool hb_aggregation_find(const char *name, hb_aggregation *aggregation)
{
    for (size_t i = 0; i < hb_aggregation_count(); i++) {
        if (strcmp(name, aggregations[i].name) != 0) continue;
        *aggregation = (hb_aggregation)i;
        return true;
    }
    return false;
}

void hb_aggregate_add(hb_aggregate *a, double value)
{
    hb_top5_add(&a->top, value);
    hb_top5_add(&a->bottom, -value);
    if (a->n == 0) a->first = value;
    a->last = value;
    a->sum += value;
    a->n++;
}

double hb_aggregate_value(const hb_aggregate *a, hb_aggregation aggregation)
{
    return a->n && hb_aggregation_is_measured(aggregation) ? aggregations[aggregation].value(a) : NAN;
}
