/* Joint models, which map several scores to one, and maps from a score to a probability of failure. */
#include <math.h>
#include <stdlib.h>
#include "hbar.h"

double hb_joint_log_odds(const hb_joint *joint, const double *values)
{
    double z = joint->intercept;
    for (size_t j = 0; j < joint->n_features; j++) {
        const hb_joint_feature *f = &joint->features[j];
        z += f->weight * (values[j] - f->mean) / f->sd;
    }
    return z;
}

void hb_joint_free(hb_joint *joint)
{
    if (!joint) return;
    for (size_t j = 0; j < joint->n_features; j++) free(joint->features[j].score);
    free(joint->features);
    free(joint->trials);
    *joint = (hb_joint){0};
}

bool hb_is_flagged(double score, double tau, hb_direction direction)
{
    return direction == HB_DIRECTION_LOW ? score <= tau : score >= tau;
}

/* 1 / (1 + exp(f)) without overflow. */
static double falling_logistic(double f)
{
    return f >= 0 ? exp(-f) / (1 + exp(-f)) : 1 / (1 + exp(f));
}

static double between_knots(const hb_map *map, double score)
{
    size_t low = 0, high = map->n_knots - 1;
    if (!(score > map->scores[low])) return map->p[low];
    if (score >= map->scores[high]) return map->p[high];
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (map->scores[middle] <= score) low = middle;
        else high = middle;
    }
    double part = (score - map->scores[low]) / (map->scores[high] - map->scores[low]);
    return map->p[low] + part * (map->p[high] - map->p[low]);
}

double hb_p_fail_by(const hb_map *map, double value, double tau, double lambda, hb_direction direction)
{
    return map ? hb_map_p(map, value) : hb_p_fail(value, tau, lambda, direction);
}

double hb_map_p(const hb_map *map, double score)
{
    if (map->kind == HB_MAP_PLATT) return falling_logistic(map->a * score + map->b);
    if (map->kind == HB_MAP_ISOTONIC) return between_knots(map, score);
    return hb_p_fail(score, map->tau, map->lambda, map->direction);
}

void hb_map_free(hb_map *map)
{
    if (!map) return;
    free(map->scores);
    free(map->p);
    map->scores = map->p = NULL;
    map->n_knots = 0;
}
